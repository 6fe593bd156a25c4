"""Fixtures of the namespace tests: the laboratory, what is under test, and who it talks to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.netns.lab import Laboratory
from tests.netns.topology import Pair, shared_middle, two_hosts
from tests.peers import Program, program_under_test, wireguard_go


@pytest.fixture
def lab() -> Iterator[Laboratory]:
    """An empty laboratory of this test alone."""
    with Laboratory() as laboratory:
        yield laboratory


@pytest.fixture
def program() -> Program:
    """What is under test."""
    return program_under_test()


@pytest.fixture
def reference() -> Program:
    """wireguard-go, to talk to."""
    return wireguard_go()


@pytest.fixture
def middle_pair(lab: Laboratory, program: Program) -> Pair:
    """Two of what is under test around a shared middle, meeting over IPv4, still down."""
    pair = shared_middle(lab, program, program)
    pair.meet("127.0.0.1", "127.0.0.1")
    return pair


@pytest.fixture
def hosts(lab: Laboratory, program: Program) -> Pair:
    """Two of what is under test on two hosts with a cable, meeting over IPv4, still down."""
    return two_hosts(lab, program, program)
