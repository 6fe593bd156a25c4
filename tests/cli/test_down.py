"""`kubespan down`: the end of a node, and what a killed one left."""

from __future__ import annotations

import signal

import pytest

from tests.daemon.conftest import lone
from tests.daemon.lone import PATIENCE, LoneNode

__all__ = ["lone"]  # a fixture is known by its name

pytestmark = pytest.mark.netns


def test_the_node_leaves(lone: LoneNode) -> None:
    lone.start()
    assert lone.run("down").returncode == 0
    assert lone.process is not None
    assert lone.process.wait(PATIENCE) == 0
    assert lone.leftovers() == []


def test_what_a_killed_node_left_is_taken_back(lone: LoneNode) -> None:
    lone.start()
    assert lone.process is not None
    lone.process.send_signal(signal.SIGKILL)
    lone.process.wait(PATIENCE)
    assert lone.leftovers() != []
    done = lone.run("down")
    assert done.returncode == 3
    assert "no node is running" in done.stderr
    assert lone.leftovers() == []


def test_a_node_at_another_socket_is_left_alone(lone: LoneNode) -> None:
    lone.start()
    before = lone.leftovers()
    former, lone.socket = lone.socket, lone.folder / "elsewhere.sock"
    done = lone.run("down")
    lone.socket = former
    assert done.returncode == 3
    assert "nothing was taken back" in done.stderr
    assert lone.leftovers() == before
    assert "put right" not in lone.log.read_text()


def test_without_a_node_there_is_nothing_to_do(lone: LoneNode) -> None:
    done = lone.run("down")
    assert (done.returncode, done.stdout) == (3, "")
