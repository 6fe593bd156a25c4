"""The whole harness over a bare link: everything but a tunnel, in a few seconds."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers import REPOSITORY, need

pytestmark = pytest.mark.netns
ARGUMENTS = ("--quick", "--runs", "1", "--modes", "seg", "--streams", "1", "--family", "ipv6")


def compare(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "bench.compare", *arguments),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def descendants(pid: int) -> set[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in children}.union(*(descendants(int(c)) for c in children))


def test_a_tunnel_says_what_either_end_counted(tmp_path: Path) -> None:
    need("iperf3", "ethtool", "ping", "nsenter")
    words = ("--impl", "kubespan", "--reference", "kubespan", "--parts", "tcp")
    done = compare(*words, *ARGUMENTS, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (sample,) = json.loads((tmp_path / "report.json").read_text())["samples"]
    a, b = sample["counters"]["a"], sample["counters"]["b"]
    assert a["tun_read_packets"] > b["tun_read_packets"] > 0
    assert "kubespan | seg, ipv6, MTU 1420: 1 stream | b |" in (tmp_path / "report.md").read_text()


def test_bare_link(tmp_path: Path) -> None:
    need("iperf3", "ethtool", "ping", "nsenter", "cc")
    done = compare("--impl", "veth", "--reference", "veth", *ARGUMENTS, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    samples = json.loads((tmp_path / "report.json").read_text())["samples"]
    measured = {key for sample in samples for key in sample["values"]}
    assert measured == {
        "gbps", "cpu_s_per_gb", "kpps", "cpu_us_per_packet", "rtt_us", "rtt_min_us",
        "beside_gbps",
    }  # fmt: skip
    assert (tmp_path / "report.md").read_text() == done.stdout
    assert "generic-segmentation-offload: off" in done.stdout


def test_tunnel_that_anybody_would_write(tmp_path: Path) -> None:
    """Both ends of it, with idle peers, carry TCP and pings."""
    need("iperf3", "ethtool", "ping", "nsenter")
    parts = ("--parts", "tcp,rtt", "--peers", "3", "--out", str(tmp_path))
    done = compare("--impl", "naive", "--reference", "naive", *ARGUMENTS, *parts)
    assert done.returncode == 0, done.stderr
    samples = json.loads((tmp_path / "report.json").read_text())["samples"]
    beside = {s["subject"]["load"]: s["values"].get("beside_gbps") for s in samples}
    even, unbounded = "beside 0.5 Gbit/s", "beside a full stream"
    assert set(beside) == {"1 stream", "idle", even, unbounded}
    assert beside["idle"] is None
    assert 0 < beside[even] < 0.6  # with what its headers take
    assert beside[unbounded] > 0


def test_interrupted(tmp_path: Path) -> None:
    need("iperf3", "ethtool", "ping", "nsenter", "cc")
    command = (
        sys.executable,
        "-m",
        "bench.compare",
        "--impl",
        "veth",
        *ARGUMENTS,
        "--out",
        tmp_path,
    )
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        assert "minutes if undisturbed" in running.stderr.readline()
        assert "1 stream" in running.stderr.readline()
        started = descendants(running.pid)
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 130
    assert started != set()
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]
    assert "interrupted" in (tmp_path / "report.md").read_text()


def test_name_that_nobody_has() -> None:
    done = compare("--impl", "nobody")
    assert done.returncode == 2
    assert "unknown implementation 'nobody'" in done.stderr
