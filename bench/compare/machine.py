"""What a figure is worth nothing without: the machine, its kernel, and the tools' versions."""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path

from bench.compare.processes import CommandFailed, run

_SIMD = ("avx2", "vaes", "avx512f", "avx512vl", "avx512ifma", "avx512_vbmi2")


def facts() -> dict[str, str]:
    """What this machine is and what runs on it, as the report's first table."""
    processor = _processor()
    identity = [f"{key} {processor.get(key, '?')}" for key in ("cpu family", "model", "stepping")]
    flags = processor.get("flags", "").split()
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "processor": f"{processor.get('model name', platform.machine())} ({', '.join(identity)})",
        "cores": str(os.cpu_count()),
        "vector units": ", ".join(flag for flag in _SIMD if flag in flags) or "none of interest",
        "virtual": "yes" if "hypervisor" in flags else "no sign of it",
        "kernel": platform.release(),
        "mitigations": _first_line(Path("/sys/devices/system/cpu/vulnerabilities/spectre_v2")),
        "default congestion control": _first_line(
            Path("/proc/sys/net/ipv4/tcp_congestion_control")
        ),
        "Python": sys.version.split()[0],
        "iperf3": _tool("iperf3", "--version"),
        "ping": _tool("ping", "-V"),
        "ethtool": _tool("ethtool", "--version"),
    }


def _processor() -> dict[str, str]:
    first = Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _first_line(path: Path) -> str:
    try:
        return path.read_text().splitlines()[0]
    except (OSError, IndexError):
        return "unknown"


def _tool(*command: str) -> str:
    try:
        return run(command).splitlines()[0]
    except (CommandFailed, IndexError):
        return "missing"
