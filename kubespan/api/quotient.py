"""What counters of the data plane say when one is divided by another: why it is fast, or is not.

A quotient whose divisor has not moved is left out: nothing is known yet. What is opened includes
keepalives, and what is received handshakes: they show where little else has flowed. What is dropped
is neither sealed nor opened, or a flood of strangers would look like a fast stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

COUNTED: Final = {
    "packets_per_tun_read": ("tun_read_packets", "tun_reads"),
    "packets_sealed_together": ("udp_sent", "sealed_batches"),
    "segments_per_send": ("udp_sent", "udp_messages"),
    "segments_per_receive": ("udp_received", "udp_receives"),
    "packets_opened_together": ("opened_messages", "opened_batches"),
    "packets_per_tun_write": ("tun_written_packets", "tun_writes"),
}
"""What is counted, and per what."""

ALIVE: Final = "_alive_ns"


def quotients(counters: Mapping[str, int | str]) -> dict[str, float]:
    """Return how many go together, by name."""
    return _divided(counters, COUNTED)


def lane_loads(counters: Mapping[str, int | str]) -> dict[str, float]:
    """Return the share of its life in which each native thread was not asleep."""
    lanes = [name.removesuffix(ALIVE) for name in counters if name.endswith(ALIVE)]
    loads = {lane.removeprefix("lane_"): (f"{lane}_busy_ns", lane + ALIVE) for lane in lanes}
    return _divided(counters, loads)


def _divided(
    counters: Mapping[str, int | str], names: Mapping[str, tuple[str, str]]
) -> dict[str, float]:
    return {
        name: round(int(counters.get(what, 0)) / int(counters[per]), 4)
        for name, (what, per) in names.items()
        if counters.get(per)
    }
