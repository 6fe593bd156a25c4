"""The door to a configuration: a file, bytes or text in, `NodeConfig` and what was ignored out.

Only `read_config` touches the file system. Everything that is wrong is raised at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from kubespan.config.compose import Document, compose, place_after
from kubespan.config.document import Documents, kind_of
from kubespan.config.mistake import ConfigMistakes, Findings, Ignored, Mistake, Place
from kubespan.config.tree import Mapping, Scalar
from kubespan.config.whole import node_config
from kubespan.model.config import NodeConfig
from kubespan.model.errors import ConfigError, SystemFault

MAX_SIZE: Final = 4 * 1024 * 1024
"""Bytes of a file. Talos takes no larger one over its API."""

ADVICE: Final = "make one with `kubespan gen config`"

_START: Final = Place(1, 1)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration without mistakes."""

    config: NodeConfig
    ignored: tuple[Ignored, ...] = ()
    """What means something to Talos and nothing here, in the order of the text."""


def read_config(path: str | Path) -> Loaded:
    """Return the configuration in a file.

    Raises ConfigMistakes, ConfigError if there is no such file, SystemFault if it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return read_stream(file, str(path))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise ConfigError(f"{path}: {error.strerror}; name a file, or {ADVICE}") from None
    except OSError as error:
        raise SystemFault(f"read {path}", error.errno or 0) from error


def read_stream(stream: BinaryIO, name: str) -> Loaded:
    """Return the configuration in a stream, read no further than needed. Raises ConfigMistakes."""
    return load_config(stream.read(MAX_SIZE + 1), name)


def load_config(raw: bytes, name: str) -> Loaded:
    """Return the configuration in the bytes of a file of that name. Raises ConfigMistakes."""
    if len(raw) > MAX_SIZE:
        message = f"this is larger than {MAX_SIZE >> 20} MiB, as no machine configuration is"
        raise ConfigMistakes(name, (Mistake(_START, "", message),))
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        place = place_after(raw[: error.start].decode())
        message = "this is not UTF-8; save the file in that encoding"
        raise ConfigMistakes(name, (Mistake(place, "", message),)) from None
    return parse_config(text, name)


def parse_config(text: str, name: str) -> Loaded:
    """Return the configuration in the text of a file of that name. Raises ConfigMistakes."""
    findings = Findings()
    composed = compose(text)
    documents = Documents(findings)
    for document in composed.documents:
        _add(documents, document, findings)
    if composed.end is not None:
        findings.add_mistake(composed.end.place, composed.end.steps, composed.end.message)
    elif all(_is_empty(document) for document in composed.documents):
        findings.add_mistake(_START, (), f"there is nothing in it; {ADVICE}")
    config = node_config(documents, findings, is_whole=composed.end is None)
    if findings.mistakes:
        raise ConfigMistakes(name, findings.mistakes)
    return Loaded(config, findings.ignored)


def _add(documents: Documents, document: Document, findings: Findings) -> None:
    root = document.root
    kind = kind_of(root) if isinstance(root, Mapping) else ""
    for slip in document.slips:
        findings.add_mistake(slip.place, (kind, *slip.steps) if kind else slip.steps, slip.message)
    if isinstance(root, Mapping):
        documents.add(root)
    elif not _is_empty(document):
        message = "a document is made of keys with values, such as machine: and cluster:"
        findings.add_mistake(root.place, (), message)


def _is_empty(document: Document) -> bool:
    return isinstance(document.root, Scalar) and document.root.is_null
