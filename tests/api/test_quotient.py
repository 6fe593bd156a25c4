"""Counters divided by each other, where there is something to divide by."""

from __future__ import annotations

from kubespan.api.quotient import lane_loads, quotients

COUNTERS: dict[str, int | str] = {
    "implementation": "native",
    "tun_reads": 10,
    "tun_read_packets": 430,
    "sealed_batches": 20,
    "udp_sends": 5,
    "udp_messages": 11,
    "udp_sent": 440,
    "udp_receives": 3,
    "udp_received": 10,
    "opened_batches": 4,
    "opened_messages": 8,
    "tun_writes": 0,
    "tun_written_packets": 0,
}


def test_what_goes_together() -> None:
    assert quotients(COUNTERS) == {
        "packets_per_tun_read": 43.0,
        "packets_sealed_together": 22.0,
        "segments_per_send": 40.0,
        "segments_per_receive": 3.3333,
        "packets_opened_together": 2.0,
    }


def test_nothing_is_said_of_what_has_not_flowed() -> None:
    assert quotients({"implementation": "pure"}) == lane_loads({"implementation": "pure"}) == {}


def test_the_load_of_a_thread_is_the_busy_part_of_its_life() -> None:
    counters = {
        "lane_both_busy_ns": 2_500_000_000,
        "lane_both_alive_ns": 10_000_000_000,
        "lane_inbound_busy_ns": 5,
        "lane_outbound_alive_ns": 5,
    }
    assert lane_loads(counters) == {"outbound": 0.0, "both": 0.25}
