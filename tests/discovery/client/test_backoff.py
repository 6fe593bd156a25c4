"""Pauses grow, stay below the cap and its spread, and begin again after a success."""

from __future__ import annotations

import pytest

from kubespan.discovery.client.backoff import Backoff


def delays(backoff: Backoff, count: int) -> list[float]:
    return [backoff.delay() for _ in range(count)]


def test_pauses_grow_up_to_the_cap() -> None:
    expected = [0.5, 0.75, 1.125, 1.6875]
    backoff = Backoff(lambda: 0.5)
    assert delays(backoff, 4) == pytest.approx(expected)
    assert delays(backoff, 40)[-1] == 60.0


@pytest.mark.parametrize(("chance", "delay"), [(0.0, 0.25), (0.5, 0.5), (0.75, 0.625)])
def test_pauses_are_spread_by_half(chance: float, delay: float) -> None:
    assert Backoff(lambda: chance).delay() == delay


def test_success_begins_again() -> None:
    backoff = Backoff(lambda: 0.5, first=60.0, growth=2, cap=900.0)
    assert delays(backoff, 5) == [60.0, 120.0, 240.0, 480.0, 900.0]
    backoff.reset()
    assert delays(backoff, 1) == [60.0]


def test_pause_can_be_cut_and_grows_on_from_there() -> None:
    backoff = Backoff(lambda: 0.5)
    cut = [backoff.delay(longest=1.0) for _ in range(5)]
    assert cut == [0.5, 0.75, 1.0, 1.0, 1.0]
    assert [backoff.delay(), backoff.delay()] == [1.5, 2.25]
