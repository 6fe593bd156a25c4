"""Timestamps grow with time, but tell it only roughly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kubespan.noise.tai64n import timestamp
from tests.vectors.reader import read

MILLISECOND = 1_000_000
SECOND = 1_000_000_000
KNOWN = bytes.fromhex(read("handshake")["timestamp"])
KNOWN_SECONDS = 1_700_000_000
KNOWN_NANOSECONDS = 0x1D000000
moments = st.integers(0, 2**62)


def test_the_known_moment() -> None:
    assert timestamp(KNOWN_SECONDS * SECOND + KNOWN_NANOSECONDS) == KNOWN


def test_the_first_moment() -> None:
    assert timestamp(0).hex() == "400000000000000a" + "00000000"


def test_a_step_is_not_told() -> None:
    """Moments of one step look alike: our clock is no fingerprint."""
    start = KNOWN_SECONDS * SECOND + KNOWN_NANOSECONDS
    assert timestamp(start + 10 * MILLISECOND) == KNOWN
    assert timestamp(start + 2**24 - 1) == KNOWN
    assert timestamp(start - 1) < KNOWN < timestamp(start + 2**24)


@given(wall_ns=moments)
def test_20_milliseconds_later_is_always_later(wall_ns: int) -> None:
    assert timestamp(wall_ns + 20 * MILLISECOND) > timestamp(wall_ns)


@given(one=moments, other=moments)
def test_order_is_the_order_of_time(one: int, other: int) -> None:
    earlier, later = sorted((one, other))
    assert timestamp(earlier) <= timestamp(later)


@given(wall_ns=moments)
def test_a_label_is_12_bytes_of_whitened_time(wall_ns: int) -> None:
    label = timestamp(wall_ns)
    seconds, nanoseconds = int.from_bytes(label[:8], "big"), int.from_bytes(label[8:], "big")
    assert len(label) == 12
    assert seconds == 0x400000000000000A + wall_ns // SECOND
    assert nanoseconds % 2**24 == 0
    assert 0 <= wall_ns % SECOND - nanoseconds < 2**24
