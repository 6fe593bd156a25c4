"""`kubespan get`: as talosctl prints it, from a node that serves."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubespan.api.client import Client
from kubespan.api.refusal import Reason, Refused
from kubespan.cli.get import watched
from kubespan.cli.main import main
from tests.api.nodes import IDENTITY, FakeNode, key
from tests.api.windows import served
from tests.cli.processes import HOME, fastest, running

NODE = str(IDENTITY.address)
BEGINNING = f"{NODE}   kubespan    KubeSpanPeerStatus   "
TOO_MUCH = "kubespan: too much has changed; this is all there is now\n"


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    with served(FakeNode(peers=3)) as one:
        monkeypatch.setenv("KUBESPAN_SOCKET", str(one.path))
        yield one.node


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(("get", *arguments)) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


TABLE = f"""\
NODE                                      NAMESPACE   TYPE                 \
ID                                             VERSION   \
LABEL      ENDPOINT           STATE   RX         TX
{BEGINNING}{key(1).base64()}   2         worker-1   172.20.0.3:51820   up      15043220   17869488
{BEGINNING}{key(2).base64()}   2         worker-2   172.20.0.4:51820   up      15043220   17869488
{BEGINNING}{key(3).base64()}   2         worker-3   172.20.0.5:51820   down    0          148
"""


def test_a_table(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "kubespanpeerstatuses") == TABLE


def test_one_of_them(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, "kubespanpeerspec", key(2).base64()).splitlines()
    assert len(lines) == 2
    assert lines[1].endswith('worker-2   ["172.20.0.4:51820"]')


def test_another_namespace(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "affiliates", "--namespace", "cluster-raw", "-o", "yaml")
    found = list(yaml.safe_load_all(text))
    assert [one["metadata"]["id"] for one in found] == [
        "service/node-0001",
        "service/node-0002",
        "service/node-0003",
    ]
    assert {one["metadata"]["owner"] for one in found} == {"cluster.DiscoveryServiceController"}


def test_a_secret_is_hidden_until_asked_for(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = IDENTITY.private_key.base64()
    assert "privateKey: (hidden)\n" in run(capsys, "ksi", "-o", "yaml")
    assert f"privateKey: {secret}\n" in run(capsys, "ksi", "-o", "yaml", "--show-secrets")


def test_json(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(capsys, "infos", "-o", "json"))
    assert list(found) == ["metadata", "node", "spec"]
    assert found["spec"] == {"clusterId": "a-cluster", "clusterName": "prod-eu"}


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("ksps",), 2, "kubespan: resource type 'ksps' is ambiguous: it is KubeSpanPeerSpecs"),
        (("pods",), 2, "kubespan: there is no resource type 'pods'; there are affiliates, "),
        (("members", "x"), 1, "kubespan: there is no resource Members.cluster.talos.dev(clu"),
        ((), 2, "Usage: kubespan get [OPTIONS] TYPE [ID]"),
        (("members", "-o", "xml"), 2, "Usage: "),
    ],
)
def test_what_cannot_be_shown(
    node: FakeNode,
    arguments: tuple[str, ...],
    code: int,
    text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(("get", *arguments)) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(text)


def test_watching_ends_with_the_node(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "node.sock"
        with running(path, 1) as process:
            monkeypatch.setenv("KUBESPAN_SOCKET", str(path))
            watcher = subprocess.Popen(
                (sys.executable, "-u", "-m", "kubespan.cli.main", "get", "members", "-w"),
                cwd=HOME,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert watcher.stdout is not None
            header, first = (watcher.stdout.readline() for _ in range(2))
            assert header.split()[:4] == ["NODE", "*", "NAMESPACE", "TYPE"]
            assert first.split()[:4] == [NODE, "+", "cluster", "Member"]
            assert process.stdin is not None
            process.stdin.close()
            assert watcher.communicate(timeout=30)[1] == "kubespan: the node has left\n"
            assert watcher.returncode == 3


# ---- what a watcher prints


def line(event: str, version: int = 0) -> dict[str, Any]:
    if not version:
        return {"event": event}
    metadata = {"namespace": "n", "id": f"id-{version}", "version": version}
    return {"event": event, "item": {"metadata": metadata, "spec": {}}}


BLOCK = """\
NODE   *   NAMESPACE   TYPE   ID      VERSION
n      +   n           S      id-1    1
n      +   n           S      id-10   10
"""


def test_what_is_there_is_one_block(capsys: pytest.CaptureFixture[str]) -> None:
    heading = {"node": "n", "kind": {"singular": "S", "columns": []}}
    told = [
        *(heading, line("anew"), line("created", 1), line("created", 10), line("bootstrapped")),
        line("updated", 2),
        *(line("anew"), line("created", 3), line("bootstrapped")),
        line("destroyed", 3),
    ]
    assert list(watched(iter(told), "table")) == [
        BLOCK,
        "n          n           S      id-2    2\n",
        "n      +   n           S      id-3    3\n",
        "n      -   n           S      id-3    3\n",
    ]
    assert capsys.readouterr().err == TOO_MUCH


def test_a_node_that_leaves_ends_it(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def watch(*_: object, **__: object) -> Iterator[dict[str, Any]]:
        yield {"node": "n", "kind": {"singular": "S", "columns": []}}
        yield from (line("anew"), line("bootstrapped"))
        raise Refused(Reason.NOT_RUNNING, "the node has left")

    monkeypatch.setattr(Client, "watch", watch)
    assert main(("get", "members", "-w")) == 3
    assert capsys.readouterr() == (
        "NODE   *   NAMESPACE   TYPE   ID   VERSION\n",
        "kubespan: the node has left\n",
    )


# ---- how long it takes


def test_a_thousand_peers(measured: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "node.sock"
        with running(path, 1000):
            for command in (("get", "kubespanpeerstatuses"), ("status",)):
                best = fastest(path, command)
                assert best.output.count("\n") > 1000
                said = f"{best.wall * 1e3:.0f} ms, {best.cpu * 1e3:.0f} ms of CPU"
                measured(f"kubespan {' '.join(command)}, 1,000 peers", said)
