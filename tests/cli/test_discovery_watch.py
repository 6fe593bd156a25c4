"""`kubespan discovery watch`: its options, and the real process in pipes and terminals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from kubespan.cli.main import main
from tests.cli.service import serving
from tests.peers import REPOSITORY

WATCH = ("discovery", "watch")
PATIENCE = 60.0

IDENTITY = """\
apiVersion: v1alpha1
kind: DiscoveryIdentityConfig
clusterID: a cluster
clusterSecret: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
"""


def services(*targets: str) -> str:
    return "".join(
        "---\napiVersion: v1alpha1\nkind: DiscoveryServiceConfig\n"
        f"name: s{number}\nendpoint: http://{target}\n"
        for number, target in enumerate(targets)
    )


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        (sys.executable, "-m", "kubespan.cli.main", *WATCH, *arguments),
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "machine.yaml"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (IDENTITY, "has no discovery service; add a DiscoveryServiceConfig"),
        ("machine: {type: worker}\n", "has no discovery service"),
    ],
)
def test_configuration_that_is_not_enough(
    text: str, said: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(text)
    assert main([*WATCH, "-c", str(file)]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--once", "--timeout", "soon"), "--timeout 'soon' is not a duration"),
        (("--ca", "/none"), "/none: No such file or directory"),
        (("--announce", "--state", "/proc/none"), "/proc/none"),
    ],
)
def test_mistake_is_one_line(
    options: tuple[str, ...], said: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(IDENTITY + services("127.0.0.1:1"))
    assert main([*WATCH, "-c", str(file), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_configuration_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(WATCH) == 2
    assert "--config" in capsys.readouterr().err


def test_help_warns_of_what_announcing_means(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WATCH, "--help"]) == 0
    assert "without a data plane here" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("output", ["table", "json", "yaml"])
def test_members_come_and_go_in_every_format(output: str, file: Path, tmp_path: Path) -> None:
    with serving() as where:
        file.write_text(IDENTITY + services(where))
        with running("-o", output, KUBESPAN_CONFIG=str(file)) as onlooker:
            assert onlooker.stderr is not None
            assert "connected to" in onlooker.stderr.readline()
            state = str(tmp_path / "state")
            with running("--announce", "-c", str(file), KUBESPAN_STATE_DIR=state) as member:
                assert member.stderr is not None
                while "registered" not in member.stderr.readline():
                    assert member.poll() is None
                member.send_signal(signal.SIGTERM)
                assert member.wait(PATIENCE) == 0
            assert onlooker.stdout is not None
            text = ""
            while not is_complete(output, text):
                text += onlooker.stdout.readline()
            onlooker.send_signal(signal.SIGINT)
            assert onlooker.wait(PATIENCE) == 0
    node_id = yaml.safe_load((tmp_path / "state" / "node-identity.yaml").read_text())["nodeId"]
    assert text.count(node_id) >= 2


def is_complete(output: str, text: str) -> bool:
    """Whether somebody has come and gone in there."""
    match output:
        case "json":
            events = [json.loads(line)["event"] for line in text.splitlines()]
            return events == ["created", "destroyed"]
        case "yaml":
            return "event: destroyed\n" in text and "machineType:" in text.rpartition("---")[2]
        case _:
            return [line[0] for line in text.splitlines()] == ["*", "+", "-"]


def test_once_prints_a_header_when_there_is_nobody(file: Path) -> None:
    with serving() as where:
        file.write_text(IDENTITY + services(where))
        with running("--once", "-c", str(file)) as process:
            out, _ = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0
    assert out.split()[:2] == ["ID", "HOSTNAME"]


def test_reader_that_leaves_ends_it_quietly(file: Path) -> None:
    with serving() as where:
        file.write_text(IDENTITY + services(where))
        with running("-c", str(file)) as process:
            assert process.stdout is not None
            process.stdout.close()
            assert process.stderr is not None
            err = process.stderr.read()
            assert process.wait(PATIENCE) == 0
    assert "Broken" not in err
    assert "Traceback" not in err
