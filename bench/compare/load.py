"""Bulk TCP: one iperf3 transfer through a lab, with what it cost."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.compare.cpu import Meter, Usage
from bench.compare.lab import Lab
from bench.compare.processes import Child, CommandFailed

PORT = 5201
GRACE = 15.0
POLL_INTERVAL = 0.1
RISE_TIME = 0.3
LISTEN = "0A"
DIRECTIONS: dict[str, tuple[str, ...]] = {
    "forward": (),
    "reverse": ("--reverse",),
    "bidirectional": ("--bidir",),
}


@dataclass(frozen=True, slots=True)
class Load:
    """A kind of transfer: parallel streams, direction, congestion control, duration in seconds."""

    streams: int
    direction: str
    congestion: str
    seconds: int

    @property
    def name(self) -> str:
        """As in a heading of the report."""
        streams = f"{self.streams} stream{'s' if self.streams > 1 else ''}"
        direction = "" if self.direction == "forward" else f", {self.direction}"
        congestion = "" if self.congestion == "cubic" else f", {self.congestion}"
        return f"{streams}{direction}{congestion}"


@dataclass(frozen=True, slots=True)
class Transfer:
    """Payload that arrived, both directions added up, and the time it took."""

    payload_bytes: int
    bits_per_second: float
    usage: Usage

    def values(self) -> dict[str, float]:
        """The measured figures by metric."""
        return {
            "gbps": self.bits_per_second / 1e9,
            "cpu_s_per_gb": self.usage.measured / (self.payload_bytes / 1e9),
        }


def transfer(lab: Lab, load: Load) -> Transfer:
    """One run of iperf3 from end `a` to end `b`. Raises CommandFailed when it does not finish."""
    server = lab.b.namespace.start("iperf3", "-s", "-1", "-p", str(PORT))
    try:
        _wait_until_listening(server)
        return _run_client(lab, load, server)
    finally:
        server.end()


@contextmanager
def busy(lab: Lab, seconds: float, rate: int | None = None) -> Iterator[list[int]]:
    """One stream from end `a` to end `b` is under way, for at most so many seconds.

    TCP itself paces it to `rate` bits a second if that is given. Gives the ids of its processes.
    """
    server = lab.b.namespace.start("iperf3", "-s", "-1", "-p", str(PORT))
    try:
        _wait_until_listening(server)
        load = Load(1, "forward", "cubic", math.ceil(seconds))
        pace = () if rate is None else ("--fq-rate", str(rate))
        client = lab.a.namespace.start(*_client_command(lab.b.address, load), *pace)
        try:
            time.sleep(RISE_TIME)
            yield [client.pid, server.pid]
        finally:
            client.end()
    finally:
        server.end()


def parse(report: str) -> tuple[int, float]:
    """Payload bytes received and bits per second of an iperf3 JSON report, directions added up."""
    end: dict[str, Any] = json.loads(report)["end"]
    sums = [end[key] for key in ("sum_received", "sum_received_bidir_reverse") if key in end]
    return sum(int(s["bytes"]) for s in sums), sum(float(s["bits_per_second"]) for s in sums)


def _run_client(lab: Lab, load: Load, server: Child) -> Transfer:
    meter = Meter([*lab.tunnels, server.pid])
    client = lab.a.namespace.start(*_client_command(lab.b.address, load))
    meter.watch(client.pid)
    try:
        _wait(client, meter, load.seconds + GRACE)
        usage = meter.usage()
        payload_bytes, bits_per_second = parse(client.result())
    finally:
        client.end()
    if payload_bytes == 0:
        raise CommandFailed("iperf3 carried nothing")
    return Transfer(payload_bytes, bits_per_second, usage)


def _client_command(address: str, load: Load) -> list[str]:
    options = {
        "-c": address,
        "-p": str(PORT),
        "-P": str(load.streams),
        "-t": str(load.seconds),
        "-C": load.congestion,
        "-i": "0",
    }
    flat = [word for option in options.items() for word in option]
    return ["iperf3", "-J", *flat, *DIRECTIONS[load.direction]]


def _wait(client: Child, meter: Meter, timeout: float) -> None:
    give_up_at = time.monotonic() + timeout
    while not client.has_exited():
        if time.monotonic() > give_up_at:
            raise CommandFailed("iperf3 did not finish")
        time.sleep(POLL_INTERVAL)
        meter.poll()


def _wait_until_listening(server: Child) -> None:
    give_up_at = time.monotonic() + GRACE
    while not _is_listening(server.pid):
        if server.has_exited() or time.monotonic() > give_up_at:
            raise CommandFailed(f"iperf3 -s: {server.output().strip()}")
        time.sleep(0.005)


def _is_listening(pid: int) -> bool:
    """Whether the process's namespace has a listening TCP socket on the port."""
    try:
        tables = [Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6")]
    except OSError:
        return False
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    return any(row[1].endswith(f":{PORT:04X}") and row[3] == LISTEN for row in rows)
