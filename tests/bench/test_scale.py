"""The scale benchmarks: their bounds, their floods, and one short run."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import blake2s
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, socket

import pytest

from bench.compare.processes import run
from bench.scale import flood, handshakes, idle, many
from bench.scale.figure import Figure, number, table
from bench.scale.workshop import Workshop
from kubespan.model.keys import PublicKey
from kubespan.noise.cookie import CookieChecker
from kubespan.noise.messages import MessageType, message_type
from tests.peers import REPOSITORY, need

PUBLIC = PublicKey(bytes(range(32)))
KEY = blake2s(b"mac1----" + PUBLIC.raw).digest()


@pytest.mark.parametrize(
    ("figure", "holds", "bound"),
    [
        (Figure("p", "n", 5, "u"), None, ""),
        (Figure("p", "n", 5, "u", least=5), True, "≥ 5"),
        (Figure("p", "n", 4.9, "u", least=5), False, "≥ 5"),
        (Figure("p", "n", 5, "u", most=5), True, "≤ 5"),
        (Figure("p", "n", 5.1, "u", most=5), False, "≤ 5"),
    ],
)
def test_a_figure_knows_whether_it_is_what_is_asked(
    figure: Figure, holds: bool | None, bound: str
) -> None:
    assert (figure.holds, figure.bound) == (holds, bound)


def test_a_figure_that_does_not_hold_is_seen() -> None:
    *_, row = table([Figure("part", "what", 12345.6, "B", most=4096)]).splitlines()
    assert row == "| part | what | 12,346 | B | ≤ 4,096 | **no** |"


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.123456, "0.123"), (99.96, "100"), (1234.5, "1,234")]
)
def test_three_digits_matter(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize("kind", flood.KINDS, ids=lambda kind: kind.name)
def test_floods_are_of_whole_messages_and_fresh(kind: flood.Kind) -> None:
    pool, messages = flood.build_pool(kind, KEY), []
    while pool:
        size = int.from_bytes(pool[:2], "big")
        messages.append(pool[2 : 2 + size])
        pool = pool[2 + size :]
    assert len(set(messages)) == flood.POOL
    assert len({message_type(message) for message in messages}) == 1


def test_floods_know_the_daemon_or_do_not() -> None:
    checker = CookieChecker(PUBLIC)
    known = {kind.name: checker.check_mac1(kind.build(KEY)) for kind in flood.KINDS[:3]}
    assert known == {"wrong mac1": False, "right mac1": True, "right mac1, wrong mac2": True}
    assert message_type(flood.KINDS[0].build(KEY)) is MessageType.INITIATION


def test_handshakes_are_whole() -> None:
    figures = handshakes.measure(3)
    assert all(figure.value > 0 for figure in figures)


def test_ratios_are_medians_of_rounds() -> None:
    rounds = [
        ({"gbps": 10.0, "cpu_s_per_gb": 2.0}, {"gbps": 9.0, "cpu_s_per_gb": 2.0}),
        ({"gbps": 4.0, "cpu_s_per_gb": 4.0}, {"gbps": 4.0, "cpu_s_per_gb": 5.0}),
        ({"gbps": 8.0, "cpu_s_per_gb": 2.0}, {"gbps": 7.8, "cpu_s_per_gb": 2.2}),
    ]
    values = {figure.name: figure.value for figure in idle.figures(1000, rounds)}
    assert values == pytest.approx(
        {
            "throughput with one peer": 8.0,
            "throughput with 1,000 peers to that with one": 97.5,
            "cost with one peer": 2.0,
            "cost with 1,000 peers to that with one": 110.0,
        }
    )


def test_what_is_carried_is_a_part_of_what_each_offered() -> None:
    values = [figure.value for figure in many.carried("n", 1300, [500, 100, 40, 50])]
    assert values == pytest.approx([50.0, 50.0, 40.0])


def test_the_first_flow_has_as_many_turns_as_it_is_greedy() -> None:
    need("cc")
    with socket(AF_INET, SOCK_DGRAM) as counter, Workshop() as workshop:
        counter.bind(("0.0.0.0", 0))
        counter.settimeout(10)
        port = str(counter.getsockname()[1])
        what = ("127.0.1.1", "127.0.2.1", "4", port, "8", "2000", "0.5", "1", "3")
        done = run([workshop.program("spread"), "send", *what])
        turns = [int(counter.recvfrom(8)[1][0].split(".")[3]) - 1 for _ in range(60)]
    assert int(done.split()[0]) >= len(turns)
    assert turns == 10 * [0, 1, 0, 2, 0, 3]


def scale(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "bench.scale", *arguments),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def test_unknown_parts_are_refused() -> None:
    done = scale("--parts", "memory,nonsense")
    assert (done.returncode, "unknown parts: nonsense" in done.stderr) == (2, True)


def test_an_unknown_implementation_is_refused() -> None:
    done = scale("--parts", "many", "--impl", "nonsense")
    assert (done.returncode, "unknown implementation: nonsense" in done.stderr) == (2, True)


@pytest.mark.netns
def test_a_short_run(tmp_path: Path) -> None:
    need("cc", "nsenter", "ethtool", "ping")
    out = tmp_path / "scale.json"
    slow = ("--flood-rate", "2000", "--packet-rate", "500", "--seconds", "0.2")
    done = scale("--quick", *slow, "--parts", "flood", "--out", str(out))
    report = json.loads(out.read_text())
    assert report["failures"] == []
    assert {figure["part"] for figure in report["figures"]} == {"flood"}
    assert all(figure["value"] >= 0 for figure in report["figures"])
    assert "| flood | wrong mac1: offered |" in done.stdout
