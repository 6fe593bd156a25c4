"""What iperf3 and ping print, and what is read out of it."""

from __future__ import annotations

import json

import pytest

from bench.compare import load, rtt
from bench.compare.processes import CommandFailed

PING = """\
PING 192.0.2.2 (192.0.2.2) 56(84) bytes of data.

--- 192.0.2.2 ping statistics ---
400 packets transmitted, 400 received, 0% packet loss, time 2394ms
rtt min/avg/max/mdev = 0.052/0.131/0.902/0.044 ms
"""


def test_one_direction() -> None:
    report = {"end": {"sum_received": {"bytes": 1000, "bits_per_second": 8000.0}}}
    assert load.parse(json.dumps(report)) == (1000, 8000.0)


def test_directions_add_up() -> None:
    end = {
        "sum_received": {"bytes": 1000, "bits_per_second": 8000.0},
        "sum_received_bidir_reverse": {"bytes": 500, "bits_per_second": 4000.0},
    }
    assert load.parse(json.dumps({"end": end})) == (1500, 12000.0)


def test_average_and_least_in_microseconds() -> None:
    assert rtt.parse(PING) == (131.0, 52.0)


def test_no_answer_at_all() -> None:
    with pytest.raises(CommandFailed, match="100% packet loss"):
        rtt.parse("400 packets transmitted, 0 received, 100% packet loss, time 2394ms")
