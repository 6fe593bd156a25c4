"""Wall time as the 12 bytes that an initiation carries, so that an old one cannot be replayed.

Reads no clock. The time is coarse on purpose: it is enough for one handshake in 20 ms, and it
tells a peer little about our clock. Greater bytes are later moments. Paper §5.1; D. J. Bernstein,
"TAI64, TAI64N, and TAI64NA".
"""

from __future__ import annotations

from typing import Final

TIMESTAMP_SIZE: Final = 12

_TAI64_OF_UNIX_EPOCH: Final = 2**62 + 10
"""The label of 1970-01-01, with the ten leap seconds that TAI was ahead by."""

_NANOSECONDS: Final = 1_000_000_000
_WHITENED: Final = 2**24 - 1
"""The bits of the nanoseconds that are not told: steps of 16.8 ms."""


def timestamp(wall_ns: int) -> bytes:
    """Build the label of a moment: seconds in 8 bytes, nanoseconds in 4, both big-endian."""
    seconds, nanoseconds = divmod(wall_ns, _NANOSECONDS)
    label = (_TAI64_OF_UNIX_EPOCH + seconds).to_bytes(8, "big")
    return label + (nanoseconds & ~_WHITENED).to_bytes(4, "big")
