"""Tokens over virtual time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.discovery.server.tokenbucket import (
    CALLS_AT_ONCE,
    CALLS_PER_SECOND,
    LONGEST_QUEUE,
    TokenBuckets,
)

A, B = b"aaaa", b"bbbb"
BURST = int(CALLS_AT_ONCE)
STEP = 1.0 / CALLS_PER_SECOND


def emptied(now: float = 0.0) -> TokenBuckets:
    buckets = TokenBuckets()
    assert [buckets.take(A, now, 0.0) for _ in range(BURST)] == [0.0] * BURST
    return buckets


def test_burst_goes_through_and_then_each_call_waits_its_turn() -> None:
    buckets = emptied()
    waits = [buckets.take(A, 0.0, None) for _ in range(3)]
    assert waits == pytest.approx([STEP, 2 * STEP, 3 * STEP])


def test_addresses_do_not_share() -> None:
    assert emptied().take(B, 0.0, 0.0) == 0.0


def test_tokens_come_back_with_time_up_to_the_burst() -> None:
    buckets = emptied()
    assert buckets.take(A, 1.0, 0.0) == 0.0
    assert [buckets.take(A, 1000.0, 0.0) for _ in range(BURST)] == [0.0] * BURST
    assert buckets.take(A, 1000.0, 0.0) is None


@pytest.mark.parametrize(("patience", "is_refused"), [(STEP * 0.9, True), (STEP * 1.1, False)])
def test_only_a_wait_beyond_the_deadline_is_refused(patience: float, is_refused: bool) -> None:
    buckets = emptied()
    assert (buckets.take(A, 0.0, patience) is None) is is_refused


def test_refused_call_takes_no_token() -> None:
    buckets = emptied()
    assert [buckets.take(A, 0.0, 0.0) for _ in range(100)] == [None] * 100
    assert buckets.take(A, 0.0, None) == pytest.approx(STEP)


def test_call_that_leaves_gives_its_turn_back() -> None:
    buckets = emptied()
    for _ in range(5):
        buckets.take(A, 0.0, None)
    for _ in range(5):
        buckets.give_back(A)
    assert buckets.take(A, 0.0, None) == pytest.approx(STEP)


def test_token_of_a_forgotten_address_is_nobodys() -> None:
    buckets = TokenBuckets()
    buckets.give_back(A)
    assert len(buckets) == 0


def test_queue_is_bounded() -> None:
    buckets = emptied()
    assert all(buckets.take(A, 0.0, None) for _ in range(LONGEST_QUEUE))
    assert buckets.take(A, 0.0, None) is None


def test_full_buckets_are_discarded() -> None:
    buckets = emptied()
    buckets.take(B, 0.0, None)
    buckets.discard_full(1.0)
    assert len(buckets) == 1
    buckets.discard_full(CALLS_AT_ONCE / CALLS_PER_SECOND)
    assert len(buckets) == 0


def test_number_of_buckets_is_bounded_and_the_quietest_goes() -> None:
    buckets = TokenBuckets(most=2)
    for address in (A, B, A, b"cccc"):
        for _ in range(BURST):
            buckets.take(address, 0.0, None)
    assert len(buckets) == 2
    assert buckets.take(A, 0.0, 0.0) is None
    assert buckets.take(B, 0.0, 0.0) == 0.0


@given(st.lists(st.floats(0.0, 5.0), max_size=300))
def test_no_schedule_gets_more_than_the_rate(gaps: list[float]) -> None:
    buckets, now, served = TokenBuckets(), 0.0, []
    for gap in gaps:
        now += gap
        wait = buckets.take(A, now, None)
        assert wait is not None
        served.append(now + wait)
    assert all(early <= late + 1e-6 for early, late in pairwise(served))
    for first, start in enumerate(served):
        for last in range(first, len(served)):
            most = CALLS_AT_ONCE + (served[last] - start) * CALLS_PER_SECOND
            assert last - first + 1 <= most + 1e-3
