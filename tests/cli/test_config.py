"""`kubespan config check`: what it says to people and to programs, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from kubespan.cli.config import config, describe, summarize
from kubespan.config.mistake import ConfigMistakes
from kubespan.config.read import Loaded
from kubespan.model.config import KubeSpanConfig, NodeConfig
from tests.config.reading import CLUSTER_ID, EXAMPLES, SECRET
from tests.peers import REPOSITORY

BAD = "machine:\n  type: x\n  network:\n    kubespan: {mtu: y}\n"
TYPE = "machine.type: 'x' is no type of machine; write worker, controlplane or init"
MTU = "machine.network.kubespan.mtu: write a whole number, without quotes"


def check(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(
        config, ["check", *arguments], input=stdin, catch_exceptions=False, standalone_mode=False
    )


def test_what_people_are_told() -> None:
    done = check(str(EXAMPLES / "multi.yaml"))
    assert (done.return_value, done.stderr) == (0, "")
    assert done.stdout == (
        "cluster       has id and secret\n"
        "kubespan      enabled, MTU 1420, "
        "pod networks advertised (none, name them as podNetworks), endpoints harvested\n"
        "discovery     default at discovery.example.com:443,"
        " lab at [2001:db8::53]:3000 without TLS\n"
        "node          worker, UDP port 51821\n"
        "static peers  gateway\n"
        "ignored       line 2: HostnameConfig\n"
        "ignored       line 31: KubeletConfig\n"
        "ignored       line 35: TrustedRootsConfig\n"
    )


def test_what_people_are_told_of_almost_nothing() -> None:
    assert describe(Loaded(NodeConfig())).splitlines() == [
        "cluster       none",
        "kubespan      disabled",
        "discovery     none",
        "node          worker, UDP port 51820",
        "static peers  none",
    ]
    bypassed = NodeConfig(
        cluster_id="x", kubespan=KubeSpanConfig(enabled=True, force_routing=False)
    )
    assert describe(Loaded(bypassed)).splitlines()[:2] == [
        "cluster       has id",
        "kubespan      enabled, MTU 1420, bypassed while a peer is down",
    ]


def test_stdin() -> None:
    done = check("-", stdin="version: v1alpha1\n")
    assert (done.return_value, done.stdout.splitlines()[0]) == (0, "cluster       none")


def test_the_file_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBESPAN_CONFIG", str(EXAMPLES / "single.yaml"))
    assert "legacy at discovery.example.com:8443" in check().stdout


def test_mistakes_are_raised_for_people() -> None:
    with pytest.raises(ConfigMistakes) as raised:
        check("-", stdin=BAD)
    assert str(raised.value).splitlines() == [f"<stdin>:2:9: {TYPE}", f"<stdin>:4:21: {MTU}"]


LOADERS: dict[str, Callable[[str], Any]] = {"json": json.loads, "yaml": yaml.safe_load}


@pytest.mark.parametrize("output", LOADERS)
def test_what_programs_are_told(output: str) -> None:
    path = str(EXAMPLES / "multi.yaml")
    done = check(path, "-o", output)
    assert (done.return_value, done.stderr) == (0, "")
    report: dict[str, Any] = LOADERS[output](done.stdout)
    assert (report["schema"], report["ok"], report["file"]) == (1, True, path)
    assert report["mistakes"] == []
    assert report["ignored"][0] == {"line": 2, "column": 1, "path": "HostnameConfig"}
    meant = report["config"]
    assert meant["cluster"] == {"id": True, "secret": True}
    assert meant["kubespan"]["enabled"] is True
    assert meant["discovery"][1] == {
        "name": "lab",
        "target": "[2001:db8::53]:3000",
        "insecure": True,
    }
    assert meant["node"]["labels"] == {"site": "north"}
    assert meant["staticPeers"] == ["gateway"]


@pytest.mark.parametrize("output", LOADERS)
def test_what_programs_are_told_of_mistakes(output: str) -> None:
    done = check("-", "-o", output, stdin=BAD)
    assert (done.return_value, done.stderr) == (2, "")
    path, _, message = MTU.partition(": ")
    assert LOADERS[output](done.stdout) == {
        "schema": 1,
        "file": "-",
        "ok": False,
        "mistakes": [
            {"line": 2, "column": 9, "path": "machine.type", "message": TYPE.partition(": ")[2]},
            {"line": 4, "column": 21, "path": path, "message": message},
        ],
        "ignored": [],
    }


@pytest.mark.parametrize("output", ["text", "json", "yaml"])
@pytest.mark.parametrize("name", ["single.yaml", "multi.yaml"])
def test_nothing_secret_is_told(name: str, output: str) -> None:
    said = check(str(EXAMPLES / name), "-o", output).stdout
    assert SECRET not in said
    assert CLUSTER_ID[:20] not in said


def test_a_summary_is_plain() -> None:
    assert json.loads(json.dumps(summarize(NodeConfig()))) == summarize(NodeConfig())


# ---- as a process


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "kubespan.cli.main", *arguments),
        cwd=REPOSITORY,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_what_is_made_passes(tmp_path: Path) -> None:
    path = str(tmp_path / "new.yaml")
    assert run("gen", "config", "--with-kubespan", "-o", path).returncode == 0
    done = run("config", "check", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "enabled, MTU 1420" in done.stdout


def test_every_mistake_is_a_line_on_stderr() -> None:
    done = run("config", "check", "-", stdin=BAD)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"<stdin>:2:9: {TYPE}\n<stdin>:4:21: {MTU}\n"


def test_a_file_that_is_not_there() -> None:
    done = run("config", "check", "none.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("kubespan: none.yaml: No such file or directory; ")
