"""What was measured: samples, and the figures drawn from them. Values only, nothing runs here."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """One kind of figure: its key in samples, its heading, decimals shown, which way is better."""

    key: str
    heading: str
    decimals: int
    higher_is_better: bool


METRICS = {
    metric.key: metric
    for metric in (
        Metric("gbps", "Gbit/s", 2, higher_is_better=True),
        Metric("cpu_s_per_gb", "CPU-s/GB", 2, higher_is_better=False),
        Metric("kpps", "kpps, < 1 % loss", 0, higher_is_better=True),
        Metric("cpu_us_per_packet", "CPU µs/packet at 50 kpps", 1, higher_is_better=False),
        Metric("rtt_us", "RTT µs", 0, higher_is_better=False),
        Metric("rtt_min_us", "least RTT µs", 0, higher_is_better=False),
        Metric("beside_gbps", "Gbit/s beside", 2, higher_is_better=True),
    )
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What one figure is about: a link and what was sent over it, in which section of the run."""

    part: str
    link: str
    load: str
    section: str = ""

    @property
    def name(self) -> str:
        """As in a heading of the report."""
        return f"{self.link}: {self.load}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one contender in one round. `failure` is empty for a run that worked.

    `counters` are the data planes' own, by the end that counted them: `a` or `b`.
    """

    contender: str
    subject: Subject
    round: int
    values: Mapping[str, float]
    foreign_share: float
    tries: int
    counters: Mapping[str, Mapping[str, int]]
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric of a contender over all rounds. `ratio` is None without the reference beside it."""

    median: float
    least: float
    most: float
    ratio: float | None
    runs: int


def subjects(samples: Iterable[Sample], part: str) -> list[Subject]:
    """The subjects of one part, in the order they were measured."""
    return list(dict.fromkeys(s.subject for s in samples if s.subject.part == part))


def sections(samples: Iterable[Sample]) -> list[str]:
    """The sections, in the order they were measured."""
    return list(dict.fromkeys(sample.subject.section for sample in samples))


def contenders(samples: Iterable[Sample]) -> list[str]:
    """The contenders in the order they were first measured."""
    return list(dict.fromkeys(sample.contender for sample in samples))


def figure(
    samples: Iterable[Sample], contender: str, subject: Subject, key: str, reference: str
) -> Figure | None:
    """The figure of one cell of the report, None where nothing was measured.

    The ratio is the median of each round's ratio, so that drift of the machine cancels out.
    """
    by_round = {
        name: {
            sample.round: sample.values[key]
            for sample in samples
            if sample.contender == name and sample.subject == subject and key in sample.values
        }
        for name in (contender, reference)
    }
    own, other = by_round[contender], by_round[reference]
    if not own:
        return None
    ratios = [value / other[n] for n, value in own.items() if other.get(n)]
    ratio = statistics.median(ratios) if ratios else None
    values = own.values()
    return Figure(statistics.median(values), min(values), max(values), ratio, len(values))
