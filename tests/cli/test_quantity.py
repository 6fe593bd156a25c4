"""Durations and sizes for people, at the edges of their units."""

from __future__ import annotations

import pytest

from kubespan.cli.quantity import duration, round_trip, share, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (38.9, "38 s"),
        (59.9, "59 s"),
        (60.0, "1m"),
        (3599.0, "59m"),
        (3600.0, "1h0m"),
        (11_520.0, "3h12m"),
        (86_399.0, "23h59m"),
        (86_400.0, "1d0h"),
        (442_800.0, "5d3h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9949, "9.9 kB"),
        (9950, "10 kB"),
        (310_000_000, "310 MB"),
        (999_949_999, "1000 MB"),
        (999_950_000, "1.0 GB"),
        (1_200_000_000, "1.2 GB"),
        (5 * 10**18, "5000 PB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.018, "18 ms"), (0.0004, "0.4 ms"), (1.5, "1500 ms")]
)
def test_round_trips(seconds: float, text: str) -> None:
    assert round_trip(seconds) == text


@pytest.mark.parametrize(
    ("part", "text"),
    [(0.0, "0.0 %"), (0.004, "0.4 %"), (0.0994, "9.9 %"), (0.0996, "10 %"), (1.0, "100 %")],
)
def test_shares(part: float, text: str) -> None:
    assert share(part) == text
