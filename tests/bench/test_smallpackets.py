"""The search for the highest rate, against a tunnel that is only a number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.compare.cpu import Usage
from bench.compare.processes import CommandFailed
from bench.compare.smallpackets import HIGHEST_RATE, Trial, highest_rate

SECONDS = 1.0


def trial(rate: float, *, sent: float, received: float) -> Trial:
    return Trial(rate, round(sent), round(received), SECONDS, Usage(0.5, 0.0, SECONDS))


@given(limit=st.floats(200, HIGHEST_RATE / 2), step=st.floats(1.02, 1.3))
def test_finds_the_limit_within_the_step(limit: float, step: float) -> None:
    def offer(rate: float) -> Trial:
        return trial(rate, sent=rate, received=rate if rate <= limit else rate / 2)

    assert limit / step**2 * 0.99 <= highest_rate(offer, step).rate <= limit * 1.01


def test_one_lost_trial_is_forgiven() -> None:
    asked: list[float] = []

    def offer(rate: float) -> Trial:
        is_first = rate not in asked
        asked.append(rate)
        good = rate <= 100_000 and not is_first
        return trial(rate, sent=rate, received=rate if good else 0)

    assert highest_rate(offer, 1.1).rate > 80_000


def test_sender_that_falls_behind_has_not_offered_the_rate() -> None:
    assert not trial(100_000, sent=90_000, received=90_000).passed
    assert trial(100_000, sent=99_000, received=99_000).passed


def test_one_percent_lost_is_too_much() -> None:
    assert trial(100_000, sent=100_000, received=99_001).passed
    assert not trial(100_000, sent=100_000, received=99_000).passed


def test_cost_is_of_packets_that_arrived() -> None:
    assert trial(100_000, sent=100_000, received=50_000).microseconds_per_packet == 10.0


def test_tunnel_that_carries_nothing_is_a_failure() -> None:
    with pytest.raises(CommandFailed, match="loses packets"):
        highest_rate(lambda rate: trial(rate, sent=rate, received=0), 1.1)
