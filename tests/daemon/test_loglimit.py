"""The log's limit: a burst of each kind, then how many more there were. Time is the test's."""

from __future__ import annotations

import asyncio
import io
import logging
from dataclasses import replace
from errno import ENOSPC

import pytest
from structlog.typing import FilteringBoundLogger

from kubespan.cli.log import create_log
from kubespan.daemon import loglimit as module
from kubespan.daemon.journal import Journal
from kubespan.daemon.loglimit import BURST, INTERVAL, LimitedLog, LogLimit
from kubespan.mesh.problem import Problem, ProblemCode, Severity
from kubespan.model.address import Endpoint
from kubespan.model.resources import KubeSpanPeerStatus, PeerState
from tests.daemon.test_journal import EMPTY
from tests.discovery.host import until
from tests.mesh.affiliates_of import key

PLACES = (Endpoint.parse("192.0.2.1:1"), Endpoint.parse("192.0.2.2:2"))
TRIAL = 15.0
"""Seconds for which a peer that is down is tried at one endpoint."""


class Paper:
    """A log, a limited one in front of it, and what was written."""

    def __init__(self, level: int = logging.INFO) -> None:
        self._written = io.StringIO()
        self.now = 0.0
        self.whole = create_log(level, self._written)
        self.limited = LimitedLog(self.whole, level, lambda: self.now)
        self.log = self.limited.log

    @property
    def lines(self) -> list[str]:
        return [line.split(" ", 1)[1] for line in self._written.getvalue().splitlines()]


def test_a_burst_of_each_kind_is_admitted() -> None:
    limit = LogLimit()
    admitted = [limit.admits("up", "info", 0.0)[0] for _ in range(BURST + 5)]
    assert admitted == [True] * BURST + [False] * 5
    assert limit.admits("down", "info", 0.0)[0]
    assert limit.admits("up", "error", 0.0)[0]


def test_what_was_held_back_is_told_once_its_interval_is_over() -> None:
    limit = LogLimit()
    for _ in range(BURST + 5):
        limit.admits("up", "info", 3.0)
    limit.admits("down", "info", 3.0)
    assert limit.ended(3.0 + INTERVAL - 0.1) == ()
    (kind,) = limit.ended(3.0 + INTERVAL)
    assert (kind.name, kind.held_back) == ("up", 5)
    assert limit.ended(1e9) == ()
    assert limit.admits("up", "info", 3.0 + INTERVAL) == (True, None)


def test_a_line_ends_the_interval_that_is_over_though_nobody_looks() -> None:
    limit = LogLimit()
    for _ in range(BURST + 1):
        limit.admits("up", "info", 0.0)
    is_admitted, former = limit.admits("up", "info", INTERVAL)
    assert is_admitted
    assert former is not None
    assert former.held_back == 1
    assert limit.ended(INTERVAL + 1.0) == ()


def test_lines_pass_as_they_are() -> None:
    paper = Paper()
    paper.log.info("peer up", peer="w", reason="it answered")
    paper.log.debug("not said")
    paper.log.log(logging.WARNING, "100 % said")
    assert paper.lines == [
        'level=info event="peer up" peer=w reason="it answered"',
        'level=warning event="100 % said"',
    ]


def test_the_summary_says_how_many_and_where_to_see_them() -> None:
    paper = Paper(logging.WARNING)
    problem = Problem(ProblemCode.OVERLAP, Severity.WARNING, "w", "", "")
    for number in range(BURST + 2):
        paper.log.warning("claimed by %s", str(number), code=problem.code.value, peer="w")
        paper.log.warning("peer lost", peer=str(number))
    paper.now = INTERVAL
    assert len(paper.lines) == 2 * BURST
    paper.limited.tell(paper.now)
    overlap, lost = paper.lines[2 * BURST :]
    assert overlap == (
        'level=warning event="held back" kind=KS-OVERLAP lines=2 see="kubespan status"'
    )
    assert 'kind="peer lost" lines=2 see="kubespan get kubespanpeerstatuses"' in lost


def test_at_the_end_everything_is_told() -> None:
    paper = Paper()
    for _ in range(BURST + 1):
        paper.log.info("peer up")
    paper.limited.tell()
    assert "lines=1" in paper.lines[-1]


def test_it_is_told_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TELL_AFTER", 0.001)
    paper = Paper()

    async def scenario() -> None:
        following = asyncio.ensure_future(paper.limited.follow())
        for _ in range(BURST + 1):
            paper.log.info("peer up")
        paper.now = INTERVAL
        await until(lambda: len(paper.lines) > BURST)
        following.cancel()

    asyncio.run(scenario())
    assert "held back" in paper.lines[-1]


def test_a_kind_that_was_held_back_is_written_again_though_nobody_follows() -> None:
    paper = Paper()
    for _ in range(BURST + 2):
        paper.log.info("peer up")
    paper.now = INTERVAL
    paper.log.info("peer up")
    held, written = paper.lines[BURST:]
    assert 'event="held back" kind="peer up" lines=2' in held
    assert written == 'level=info event="peer up"'


def test_following_outlives_a_log_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TELL_AFTER", 0.001)
    paper = Paper()

    def full(_: float) -> None:
        faults.append(OSError(ENOSPC, "no space left"))
        raise faults[-1]

    faults: list[OSError] = []
    monkeypatch.setattr(paper.limited, "tell", full)

    async def scenario() -> None:
        following = asyncio.ensure_future(paper.limited.follow())
        await until(lambda: len(faults) > 1)
        following.cancel()

    asyncio.run(scenario())


def down_for_ten_minutes(paper: Paper, log: FilteringBoundLogger) -> int:
    """Let a thousand peers be down, each tried elsewhere four times a minute; return the lines."""
    journal = Journal(log)
    for trial in range(int(600 / TRIAL)):
        paper.now = trial * TRIAL
        status = KubeSpanPeerStatus(
            "w", PLACES[trial % 2], PeerState.DOWN, last_endpoint_change_at=paper.now
        )
        statuses = {key(number): replace(status, label=str(number)) for number in range(1, 1001)}
        journal.follow(replace(EMPTY, statuses=statuses))
        paper.limited.tell(paper.now)
    return len(paper.lines)


def test_a_thousand_peers_that_are_down_do_not_fill_the_log() -> None:
    whole, limited = Paper(), Paper()
    assert down_for_ten_minutes(whole, whole.whole) > 40_000 - 1
    assert down_for_ten_minutes(limited, limited.log) < 150
    limited.limited.tell()
    written = len([line for line in limited.lines if "held back" not in line])
    held = sum(
        int(line.split("lines=")[1].split()[0]) for line in limited.lines if "held back" in line
    )
    assert written + held == len(whole.lines)
