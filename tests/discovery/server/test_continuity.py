"""Times of an earlier process: what they mean now."""

from __future__ import annotations

import pytest

from kubespan.discovery.server.continuity import Moment, shift

HOUR = 3600.0
WALL = 1_700_000_000.0
THEN = Moment("boot", 1000.0, WALL)


@pytest.mark.parametrize(
    ("then", "now", "expires_at", "wanted"),
    [
        # One boot: its clock alone counts, wherever the wall clock went.
        (THEN, Moment("boot", 1060.0, WALL + 60), 1100.0, 1100.0),
        (THEN, Moment("boot", 1060.0, WALL + 9e8), 1100.0, 1100.0),
        (THEN, Moment("boot", 1060.0, 0.0), 1100.0, 1100.0),
        # Another boot: what was left when it was written, less the time away.
        (THEN, Moment("other", 10.0, WALL + 60), 1100.0, 50.0),
        (THEN, Moment("other", 10.0, WALL + HOUR), 1100.0, 10.0 - HOUR + 100),
        # Set back: no time has passed, and nobody lives longer than was left.
        (THEN, Moment("other", 10.0, WALL - HOUR), 1100.0, 110.0),
        (THEN, Moment("other", 10.0, 0.0), 1100.0, 110.0),
        # No kernel says which boot it is, or it says what cannot be.
        (Moment("", 1000.0, WALL), Moment("", 1060.0, WALL + 50), 1100.0, 1110.0),
        (THEN, Moment("boot", 10.0, WALL + 60), 1100.0, 50.0),
    ],
)
def test_shift(then: Moment, now: Moment, expires_at: float, wanted: float) -> None:
    assert expires_at + shift(then, now) == wanted
