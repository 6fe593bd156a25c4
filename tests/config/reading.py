"""What the tests of configurations share: names and secrets of a cluster that is nobody's."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from kubespan.config.mistake import ConfigMistakes, Findings, Place
from kubespan.config.read import Loaded, parse_config
from kubespan.config.tree import Entry, Mapping, Node, Scalar, Sequence, View
from kubespan.model.config import NodeConfig

EXAMPLES = Path(__file__).parent / "examples"

CLUSTER_ID = "v16UCWpO2iOm82n6F8dGCJ41ZXXBvDrjRDs2su7C_zs="
SECRET = "vlf2HU1NEZL3Ezi9Tk+RZBLJUbjnsHnTzs3wK9JNk6Q="
PUBLIC_KEYS = (
    "NzW8oeIH5rJyY5lefD9WRoHWWRr/Q6DwsDjMX+xKjT4=",
    "Oak2fBEWngBhwslBxDVgnRNHXs88OAp4kjroSX0uqUE=",
)

IDENTITY = f"""\
---
apiVersion: v1alpha1
kind: DiscoveryIdentityConfig
clusterID: {CLUSTER_ID}
clusterSecret: {SECRET}
"""

SERVICE = """\
---
apiVersion: v1alpha1
kind: DiscoveryServiceConfig
name: default
endpoint: https://discovery.example.com
"""


def load(text: str) -> Loaded:
    """Return a configuration that has no mistakes."""
    return parse_config(dedent(text), "t")


def config(text: str) -> NodeConfig:
    """Return what a configuration without mistakes means."""
    return load(text).config


def mistakes(text: str) -> list[str]:
    """Return the lines of all mistakes, without the name of the file."""
    try:
        parse_config(dedent(text), "t")
    except ConfigMistakes as error:
        return [line.removeprefix("t:") for line in str(error).splitlines()]
    return []


def places(text: str) -> list[str]:
    """Return `line:column: path` of all mistakes."""
    return [": ".join(line.split(": ")[:2]) for line in mistakes(text)]


def node(value: object, line: int = 1) -> Node:
    """Return a plain value as nodes; everything that is in line N of the value is in line N."""
    place = Place(line, 1)
    if isinstance(value, dict):
        items = enumerate(value.items(), line)
        return Mapping(place, {k: Entry(Place(n, 1), node(v, n)) for n, (k, v) in items})
    if isinstance(value, list):
        return Sequence(place, tuple(node(item, n) for n, item in enumerate(value, line)))
    return Scalar(place, "" if value is None else str(value))


def view(value: object, *steps: str | int) -> View:
    """Return a view of a plain value, with findings of its own."""
    return View(node(value), steps, Findings())


def messages(looked_at: View) -> list[str]:
    """Return the mistakes that were found."""
    return [f"{m.path}: {m.message}" for m in looked_at.findings.mistakes]
