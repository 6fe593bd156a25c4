"""A line for each state, a complaint once a minute, however often things happen."""

from __future__ import annotations

from collections import Counter

from kubespan.discovery.client.effects import Failure, FailureReason, Tell
from kubespan.discovery.client.notice import Notices

DOWN = Failure(FailureReason.UNREACHABLE)


def texts(lines: list[Tell]) -> list[str]:
    return [line.text for line in lines]


def test_lines_name_the_service_and_the_reason() -> None:
    notices = Notices("default")
    assert notices.connected("host:443", 7) == [
        Tell("discovery service default: connected to host:443, 7 members", is_problem=False)
    ]
    assert notices.failed("host:443", DOWN, 0.0) == [
        Tell(
            "discovery service default: host:443 cannot be reached; trying again,"
            " at least every 90 s",
            is_problem=True,
        )
    ]


def test_flapping_is_told_once_a_minute() -> None:
    notices = Notices("default")
    lines: list[Tell] = []
    for second in range(180):
        lines += notices.connected("host:443", 1)
        lines += notices.failed("host:443", DOWN, float(second))
    assert [line.is_problem for line in lines] == [False, *[True, False] * 3]


def test_registration_is_told_when_it_changes() -> None:
    notices = Notices("default")
    assert len(notices.registered()) == 1
    assert notices.registered() == []
    assert len(notices.registration_failed(DOWN, 0.0)) == 1
    assert notices.registration_failed(DOWN, 59.0) == []
    assert len(notices.registered()) == 1


def test_refusals_are_summed_up() -> None:
    notices = Notices("default")
    assert notices.refused(Counter(), 0.0) == []
    assert texts(notices.refused(Counter(bad_tag=1), 0.0)) == [
        "discovery service default: refused from records: 1 bad_tag"
    ]
    assert notices.refused(Counter(bad_tag=3), 1.0) == []
    assert texts(notices.refused(Counter(bad_tag=4, wrong_id=1), 60.0)) == [
        "discovery service default: refused from records: 3 bad_tag, 1 wrong_id"
    ]


def test_other_troubles_have_a_line_each() -> None:
    notices = Notices("default")
    lines = [
        *notices.harvest_failed(DOWN, 0.0),
        *notices.redirect_refused("sends us nowhere", 0.0),
        *notices.withdrawal_failed(DOWN, 0.0),
    ]
    assert all(line.is_problem for line in lines)
    assert len(lines) == 3
