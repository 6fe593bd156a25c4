"""The picture: the first section only, and bars that say how far rounds were apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.compare.report import Comparison
from bench.compare.results import Sample, Subject

plot = pytest.importorskip("bench.compare.plot", exc_type=ImportError)

TCP = Subject("tcp", "seggro, ipv4, MTU 1420", "1 stream")
FURTHER = Subject("tcp", "seggro, ipv6, MTU 8920", "1 stream", "Families and sizes")


def samples(subject: Subject, *values: float) -> list[Sample]:
    return [
        Sample("ours", subject, number, {"gbps": value}, 0.0, 1, {})
        for number, value in enumerate(values)
    ]


def drawn(tmp_path: Path, found: list[Sample]) -> str:
    plot.draw(Comparison("", "ours", {}, {}, {}, {}, [], found), tmp_path)
    return (tmp_path / "report.svg").read_text()


def test_further_sections_are_left_to_the_tables(tmp_path: Path) -> None:
    text = drawn(tmp_path, [*samples(TCP, 3.0), *samples(FURTHER, 5.0)])
    assert "seggro" in text
    assert "ipv6" not in text


def test_a_bar_says_how_far_rounds_were_apart(tmp_path: Path) -> None:
    assert "LineCollection" in drawn(tmp_path, samples(TCP, 3.0, 5.0, 4.0))
    bars = plot.figure(samples(TCP, 3.0, 6.0, 4.0), "ours", TCP, "gbps", "ours")
    assert plot._spread([bars]) == [[1.0], [2.0]]
