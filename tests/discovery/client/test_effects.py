"""The words that a membership and its shell share."""

from __future__ import annotations

from kubespan.discovery.client.effects import CALL_TIMEOUTS, Call, Failure, FailureReason


def test_every_call_but_the_watch_has_an_end() -> None:
    assert {call for call, timeout in CALL_TIMEOUTS.items() if timeout is None} == {Call.WATCH}
    assert set(CALL_TIMEOUTS) == set(Call)


def test_failure_says_what_the_other_side_said() -> None:
    assert str(Failure(FailureReason.TIMED_OUT)) == "does not answer"
    assert str(Failure(FailureReason.REFUSED, "go away")) == "refuses (go away)"
