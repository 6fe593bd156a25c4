"""The timebase: it does not tremble, and follows who sets the clock."""

from __future__ import annotations

from kubespan.api.timebase import Timebase, boot_time
from kubespan.model.instant import Instant


def test_when_the_machine_was_booted() -> None:
    assert boot_time(Instant(1.5, 10_000_000_000)) == 8_500_000_000


def test_what_trembles_is_no_change() -> None:
    base = Timebase()
    assert base.booted_ns(Instant(1.0, 5_000_000_000)) == 4_000_000_000
    assert base.booted_ns(Instant(2.0, 6_050_000_000)) == 4_000_000_000
    assert base.booted_ns(Instant(2.0, 5_950_000_000)) == 4_000_000_000


def test_a_clock_that_is_set_is_followed() -> None:
    base = Timebase()
    base.booted_ns(Instant(1.0, 5_000_000_000))
    assert base.booted_ns(Instant(1.0, 9_000_000_000)) == 8_000_000_000
    assert base.booted_ns(Instant(1.0, 5_000_000_000)) == 4_000_000_000
