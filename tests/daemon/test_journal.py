"""The log of the mesh: one line for each change, with its reason, and none for what stays."""

from __future__ import annotations

import io
import logging
from dataclasses import replace

import pytest

from kubespan.cli.log import create_log
from kubespan.daemon.journal import Journal
from kubespan.mesh.problem import Problem, ProblemCode, Severity
from kubespan.mesh.reconciler import Facts, Outcome
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.ipset import IPSet
from kubespan.model.resources import KubeSpanPeerStatus, PeerReading, PeerState
from tests.mesh.affiliates_of import affiliate, key
from tests.mesh.test_reconciler import config, reconciler

A, B = Endpoint.parse("192.0.2.1:1"), Endpoint.parse("192.0.2.2:2")
EMPTY = reconciler().reconcile(config(), Facts(), 0.0)
TRIED = KubeSpanPeerStatus("w", A, PeerState.UNKNOWN, last_used_endpoint=A)
UP = replace(TRIED, state=PeerState.UP)


class Desk:
    """A journal and what it wrote."""

    def __init__(self) -> None:
        self._written = io.StringIO()
        self.journal = Journal(create_log(logging.INFO, self._written))
        self.follow(EMPTY)

    def follow(self, outcome: Outcome) -> list[str]:
        """Return what an outcome makes it write, without times."""
        self._written.truncate(0)
        self._written.seek(0)
        self.journal.follow(outcome)
        return [line.split(" ", 1)[1] for line in self._written.getvalue().splitlines()]

    def status(self, status: KubeSpanPeerStatus) -> list[str]:
        return self.follow(replace(EMPTY, statuses={key(2): status}))


def test_peers_come_and_go() -> None:
    desk = Desk()
    assert desk.status(TRIED) == ['level=info event="peer found" peer=w endpoint=192.0.2.1:1']
    assert desk.status(TRIED) == []
    assert desk.follow(EMPTY) == ['level=info event="peer left" peer=w']
    nameless = KubeSpanPeerStatus()
    assert desk.status(nameless) == [
        f'level=info event="peer found" peer="{key(2).base64()}" endpoint=none'
    ]


@pytest.mark.parametrize(
    ("before", "after", "event", "reason"),
    [
        (TRIED, UP, "peer up", "it answered a handshake"),
        (UP, replace(TRIED, state=PeerState.DOWN), "peer down", "its last handshake is too old"),
        (
            UP,
            replace(TRIED, endpoint=B, last_endpoint_change_at=1.0),
            "peer unknown",
            "it left data unanswered at 192.0.2.1:1",
        ),
        (
            replace(TRIED, state=PeerState.DOWN),
            replace(TRIED, endpoint=B, last_endpoint_change_at=1.0),
            "peer unknown",
            "nobody answered at 192.0.2.1:1",
        ),
        (
            TRIED,
            replace(TRIED, state=PeerState.DOWN),
            "peer down",
            "nobody answers, and there is nowhere else to try",
        ),
    ],
)
def test_states_have_reasons(
    before: KubeSpanPeerStatus, after: KubeSpanPeerStatus, event: str, reason: str
) -> None:
    desk = Desk()
    desk.status(before)
    (line,) = desk.status(after)
    assert f'event="{event}"' in line
    assert f'reason="{reason}"' in line


def test_one_that_comes_back_is_told_of_once_it_is_steered() -> None:
    mesh, node, desk = reconciler(), config(force_routing=False), Desk()
    here = IPSet.of(Prefix.parse("192.0.2.1/32"))
    peer = affiliate("b", 2, addresses=["192.0.2.1"], endpoints=[str(A)])

    def look(now: float, handshake_at: float | None, steered: IPSet) -> list[str]:
        facts = Facts((peer,), {key(2): PeerReading(A, handshake_at)}, steered=steered)
        return [
            line
            for line in desk.follow(mesh.reconcile(node, facts, now))
            if "event=mtu" not in line
        ]

    assert 'event="peer found"' in look(0.0, None, IPSet())[0]
    assert 'event="peer down"' in look(15.0, None, IPSet())[0]
    assert look(20.0, 19.0, IPSet()) == []
    (line,) = look(20.1, 19.0, here)
    assert 'event="peer up"' in line
    assert 'reason="it answered a handshake"' in line


def test_endpoints_are_followed() -> None:
    desk = Desk()
    desk.status(TRIED)
    (line,) = desk.status(replace(TRIED, endpoint=B, last_endpoint_change_at=1.0))
    assert 'event="peer tried elsewhere" peer=w endpoint=192.0.2.2:2' in line
    desk.status(UP)
    (line,) = desk.status(replace(UP, endpoint=B))
    assert 'event="peer moved" peer=w endpoint=192.0.2.2:2' in line
    assert desk.status(replace(UP, endpoint=B, receive_bytes=9)) == []


def test_a_problem_is_written_when_it_begins() -> None:
    desk = Desk()
    problem = Problem(ProblemCode.OVERLAP, Severity.WARNING, "w", "both claim it", "ask")
    found = replace(EMPTY, problems=(problem,))
    assert desk.follow(found) == ['level=warning event="both claim it" code=KS-OVERLAP peer=w']
    assert desk.follow(found) == []
    desk.follow(EMPTY)
    assert len(desk.follow(found)) == 1


def test_the_mtu_is_written_with_its_reason() -> None:
    desk = Desk()
    (line,) = desk.follow(replace(EMPTY, mtu=replace(EMPTY.mtu, value=1300)))
    assert "event=mtu mtu=1300" in line
