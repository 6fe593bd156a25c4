"""`kubespan up`: in front and in the background, and what it says when it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubespan.api.refusal import Refused
from kubespan.cli.up import STEER_PATIENCE
from tests.daemon.conftest import lone
from tests.daemon.lone import CONFIG, LoneNode
from tests.netns.lab import eventually

__all__ = ["lone"]  # a fixture is known by its name


@pytest.mark.netns
def test_it_goes_into_the_background_when_the_mesh_is_steered(lone: LoneNode) -> None:
    done = lone.run("up", "--detach")
    assert done.returncode == 0, done.stderr
    assert lone.is_started()
    assert lone.run("down").returncode == 0
    log = lone.socket.with_suffix(".log")
    assert 'event="left the mesh"' in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
    eventually("the node is gone", lambda: lone.leftovers() == [], 30.0)


@pytest.mark.netns
def test_in_the_background_it_needs_a_log_of_its_own(lone: LoneNode) -> None:
    lone.socket.parent.mkdir()
    lone.socket.with_suffix(".log").symlink_to(lone.folder / "precious")
    done = lone.run("up", "--detach")
    assert done.returncode == 2
    assert "kubespan.log" in done.stderr
    assert lone.leftovers() == []
    assert not (lone.folder / "precious").exists()
    assert not lone.socket.exists()


@pytest.mark.netns
def test_in_the_background_it_says_why_it_could_not(lone: LoneNode) -> None:
    lone.namespace.ip("tuntap", "add", "kubespan", "mode", "tap")
    done = lone.run("up", "--detach")
    assert done.returncode == lone.run("up").returncode == 2
    assert "kubespan" in done.stderr
    with pytest.raises(Refused):
        lone.client.version()


@pytest.mark.slow
@pytest.mark.netns
def test_in_the_background_it_claims_nothing_that_was_refused(lone: LoneNode) -> None:
    """It waits for one more attempt, half a minute after the first."""
    lone.namespace.ip("route", "add", "throw", "default", "table", "180", "metric", "27507")
    done = lone.run("up", "--detach", timeout=2 * STEER_PATIENCE)
    assert done.returncode == 1
    assert "in table 180 that refuses: File exists" in done.stderr
    assert "kubespan down" in done.stderr
    with pytest.raises(Refused):
        lone.client.version()
    assert "unreachable" in lone.namespace.ip("-6", "route", "show", "table", "180")
    assert lone.run("down").returncode == 3


@pytest.mark.netns
@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("enabled: true", "enabled: false", "KubeSpanConfig"),
        ("clusterSecret", "clusterSecrte", "node.yaml:4"),
        ("192.0.2.9:51820", "192.0.2.9", "node.yaml:16"),
    ],
)
def test_a_configuration_that_cannot_be(lone: LoneNode, before: str, after: str, said: str) -> None:
    lone.file.write_text(CONFIG.replace(before, after))
    done = lone.run("up")
    assert done.returncode == 2
    assert said in done.stderr
    assert lone.leftovers() == []


@pytest.mark.netns
def test_what_is_ignored_is_named(lone: LoneNode) -> None:
    lone.file.write_text(f"{CONFIG}---\napiVersion: v1alpha1\nkind: HostnameConfig\nhostname: x\n")
    done = lone.run("up", "--detach")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("kubespan: ignored: line ")
    assert ": HostnameConfig\n" in done.stderr
    assert lone.run("down").returncode == 0


@pytest.mark.netns
def test_its_state_is_where_it_was_told(lone: LoneNode, tmp_path: Path) -> None:
    assert lone.run("up", "--detach", "--state", str(tmp_path / "elsewhere")).returncode == 0
    made = {path.name for path in (tmp_path / "elsewhere").iterdir()}
    assert made >= {"kubespan-identity.yaml", "node-identity.yaml"}
    assert lone.run("down").returncode == 0
