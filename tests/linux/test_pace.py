"""The pause between restorations grows while others go on, and starts again after peace."""

from __future__ import annotations

from kubespan.linux.pace import Pace


def test_the_pause_doubles_up_to_a_limit() -> None:
    pace = Pace()
    assert [pace.restored(float(now)) for now in range(5)] == [0.25, 0.5, 1, 1, 1]


def test_after_peace_it_starts_again() -> None:
    pace = Pace()
    assert [pace.restored(now) for now in (100.0, 160.0, 221.0)] == [0.25, 0.5, 0.25]
