"""The scenarios of the kernel's own WireGuard self test, written anew for a userspace program.

One file per subject. What only a kernel can do is named where it is left out: interface counters
of outer bytes (test_counters.py), an ICMP error that carries the router's own address across a
translation (test_unreachable.py), and two namespaces that nothing keeps alive any more
(test_leaving.py). The kernel's list of leaked objects becomes processes, sockets and ports here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.netns.lab import Laboratory
from tests.netns.topology import Pair, shared_middle, two_hosts
from tests.peers import Program, program_under_test


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
def pair(lab: Laboratory, program: Program) -> Pair:
    """Two interfaces moved out of a shared middle, meeting there over IPv4, still down."""
    made = shared_middle(lab, program, program)
    made.meet("127.0.0.1", "127.0.0.1")
    return made


@pytest.fixture
def hosts(lab: Laboratory, program: Program) -> Pair:
    """Two hosts with a cable, meeting over IPv4, up."""
    made = two_hosts(lab, program, program)
    made.up()
    return made
