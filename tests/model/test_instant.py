"""A moment carries both clocks."""

from __future__ import annotations

from kubespan.model.instant import Instant


def test_moments_are_ordered_by_time_since_boot() -> None:
    """Wall time may be set back; time since boot may not."""
    earlier = Instant(boot=1.0, wall_ns=2_000)
    later = Instant(boot=2.0, wall_ns=1_000)
    assert earlier < later
