"""A daemon that is given many peers over its own socket, and asked for them."""

from __future__ import annotations

import time
from pathlib import Path

from bench.compare import uapi
from bench.compare.implementations import contender
from bench.compare.lab import Lab, Link
from bench.scale.figure import Figure

MOST_SECONDS = 5.0


def measure(count: int) -> list[Figure]:
    """Seconds to configure and to dump `count` peers, and what they add to the daemon."""
    with Lab(contender("kubespan"), Link("gso", "ipv4", 1420)) as lab:
        assert lab.b.tunnel is not None
        before = resident(lab.b.tunnel.pid)
        began = time.monotonic()
        uapi.add_idle_peers(lab.b.interface, count)
        configured = time.monotonic()
        told = uapi.dump(lab.b.interface)
        dumped = time.monotonic()
        after = resident(lab.b.tunnel.pid)
    assert sum(line.startswith("public_key=") for line in told) == count + 1
    part, of = "configuration", f"{count:,} peers"
    return [
        Figure(part, f"{of} configured", configured - began, "s", most=MOST_SECONDS),
        Figure(part, f"{of} dumped", dumped - configured, "s", most=MOST_SECONDS),
        Figure(part, f"daemon, each of {of}", (after - before) / count, "bytes resident"),
    ]


def resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
