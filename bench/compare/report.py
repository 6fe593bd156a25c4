"""A comparison as Markdown for people and JSON for programs. Nothing is measured here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.compare.results import (
    METRICS,
    Figure,
    Sample,
    Subject,
    contenders,
    figure,
    sections,
    subjects,
)

# Counters that explain a figure when read as a quotient: heading, what is counted, per what.
QUOTIENTS = (
    ("packets a TUN read", "tun_read_packets", "tun_reads"),
    ("packets sealed together", "udp_sent", "sealed_batches"),
    ("segments a send", "udp_sent", "udp_messages"),
    ("datagrams a system call out", "udp_sent", "udp_sends"),
    ("segments a receive", "udp_received", "udp_receives"),
    ("packets opened together", "opened_messages", "opened_batches"),
    ("packets a TUN write", "tun_written_packets", "tun_writes"),
)


REASON_LENGTH = 100
HEADLINES = ("gbps", "cpu_s_per_gb", "kpps", "rtt_us")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything one run of the harness found out."""

    command: str
    reference: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    remarks: Mapping[str, str]
    features: Mapping[str, str]
    notes: Sequence[str]
    samples: Sequence[Sample]


def as_json(comparison: Comparison) -> str:
    """Every sample and everything known about the run."""
    return json.dumps(dataclasses.asdict(comparison), indent=1)


def as_markdown(comparison: Comparison) -> str:
    """Section by section: tables by link, small packets, round trips. Then how it was measured."""
    parts = ["# kubespan beside others", _machine(comparison), _glance(comparison)]
    for section in sections(comparison.samples):
        parts += _section(comparison, section)
    parts += [_counters(comparison), _conditions(comparison)]
    return "\n\n".join(part for part in parts if part) + "\n"


def progress(sample: Sample) -> str:
    """One line about one run."""
    if sample.failure:
        return f"{sample.contender:>24}  {sample.subject.name}: FAILED {sample.failure}"
    values = "  ".join(
        f"{value:.{METRICS[key].decimals}f} {METRICS[key].heading}"
        for key, value in sample.values.items()
    )
    foreign = f"foreign {sample.foreign_share:.1%}, try {sample.tries}"
    return f"{sample.contender:>24}  {sample.subject.name}: {values}  ({foreign})"


def _machine(comparison: Comparison) -> str:
    rows = [[key, value] for key, value in comparison.machine.items()]
    rows += [[name, version] for name, version in comparison.versions.items() if version]
    rows += [[f"{name} says", said] for name, said in comparison.remarks.items() if said]
    return f"`{comparison.command}`\n\n" + _table(["", ""], rows)


def _glance(comparison: Comparison) -> str:
    """Every ratio in one table; empty when the reference was not measured."""
    names = [n for n in contenders(comparison.samples) if n != comparison.reference]
    rows = []
    for subject in dict.fromkeys(sample.subject for sample in comparison.samples):
        for key in HEADLINES:
            found = [
                figure(comparison.samples, n, subject, key, comparison.reference) for n in names
            ]
            ratios = ["" if f is None or f.ratio is None else f"{f.ratio:.2f}" for f in found]
            if any(ratios):
                rows.append([_title(subject, subject.name), METRICS[key].heading, *ratios])
    if not rows:
        return ""
    headings = ["", "", *names]
    return f"## Ratios to {comparison.reference}\n\n" + _table(headings, rows)


def _section(comparison: Comparison, section: str) -> list[str]:
    own = [s for s in comparison.samples if s.subject.section == section]
    part = dataclasses.replace(comparison, samples=own)
    links = dict.fromkeys(s.link for s in subjects(own, "tcp"))
    parts = [_tcp(part, link) for link in links]
    parts += _single_tables(part, "packets", "Small packets")
    return parts + _single_tables(part, "rtt", "Round trips")


def _tcp(comparison: Comparison, link: str) -> str:
    loads = [s for s in subjects(comparison.samples, "tcp") if s.link == link]
    tables = [_metrics_table(comparison, load) for load in loads]
    headed = [f"**{load.load}**\n\n{table}" for load, table in zip(loads, tables, strict=True)]
    heading = _title(loads[0], f"TCP, {link}")
    return "\n\n".join([f"## {heading}", *headed])


def _single_tables(comparison: Comparison, part: str, title: str) -> list[str]:
    return [
        f"## {_title(subject, title)}, {subject.name}\n\n{_metrics_table(comparison, subject)}"
        for subject in subjects(comparison.samples, part)
    ]


def _title(subject: Subject, text: str) -> str:
    return f"{subject.section}: {text}" if subject.section else text


def _metrics_table(comparison: Comparison, subject: Subject) -> str:
    samples = [s for s in comparison.samples if s.subject == subject]
    keys = [key for key in METRICS if any(key in s.values for s in samples)]
    headings = [""]
    for key in keys:
        headings += [METRICS[key].heading, f"ratio to {comparison.reference}"]
    rows = []
    for name in contenders(samples):
        row = [name]
        for key in keys:
            row += _cells(figure(samples, name, subject, key, comparison.reference), key)
        rows.append([*row, _runs(samples, name)])
    return _table([*headings, "runs; most foreign CPU"], rows)


def _cells(found: Figure | None, key: str) -> list[str]:
    if found is None:
        return ["failed", ""]
    decimals = METRICS[key].decimals
    spread = f" ({found.least:.{decimals}f} to {found.most:.{decimals}f})" if found.runs > 1 else ""
    ratio = "" if found.ratio is None else f"{found.ratio:.2f}"
    return [f"{found.median:.{decimals}f}{spread}", ratio]


def _runs(samples: Iterable[Sample], name: str) -> str:
    own = [sample for sample in samples if sample.contender == name]
    failures = [sample.failure for sample in own if sample.failure]
    worst = max((sample.foreign_share for sample in own), default=0.0)
    said = f"{len(own) - len(failures)}; {worst:.1%}"
    if not failures:
        return said
    reason = failures[0].splitlines()[0][:REASON_LENGTH].replace("|", "/")
    return f"{said}; {len(failures)} failed: {reason}"


def _counters(comparison: Comparison) -> str:
    rows = [
        [sample.contender, _title(sample.subject, sample.subject.name), end, *_quotients(counters)]
        for sample in comparison.samples
        if sample.round == 0
        for end, counters in sample.counters.items()
        if counters
    ]
    if not rows:
        return ""
    headings = ["", "", "end", *(q[0] for q in QUOTIENTS)]
    return f"## Batching, first round\n\n{_ENDS}\n\n{_table(headings, rows)}"


def _quotients(counters: Mapping[str, int]) -> list[str]:
    return [
        f"{counters.get(what, 0) / counters[per]:.1f}" if counters.get(per) else ""
        for _, what, per in QUOTIENTS
    ]


def _conditions(comparison: Comparison) -> str:
    said = [f"- {note}" for note in comparison.notes]
    said += _failures(comparison.samples)
    notes = ["**Notes**\n\n" + "\n".join(said)] if said else []
    features = [
        f"`ethtool -k`, {'; '.join(links)}:\n\n```\n{said}\n```"
        for said, links in _alike(comparison.features).items()
    ]
    return "\n\n".join(["## Conditions", _METHOD.format(comparison.reference), *notes, *features])


def _failures(samples: Iterable[Sample]) -> list[str]:
    """The whole reason once for every row; the row says how often."""
    first: dict[tuple[str, Subject], str] = {}
    for sample in samples:
        if sample.failure:
            first.setdefault((sample.contender, sample.subject), sample.failure)
    return [
        f"- {name}, {_title(subject, subject.name)}: {failure}"
        for (name, subject), failure in first.items()
    ]


def _alike(features: Mapping[str, str]) -> dict[str, list[str]]:
    """The links of which `ethtool -k` says the same, by what it says."""
    links: dict[str, list[str]] = {}
    for link, said in features.items():
        links.setdefault(said, []).append(link)
    return links


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


_ENDS = """\
Load goes from `a` to `b`. TCP's acknowledgements go the other way and are one packet each: what `b`
reads from its TUN, and `a` writes to its own."""

_METHOD = """\
Median (least to most) of interleaved rounds on one machine. Ratios are medians of each round's
ratio to {}. CPU-s/GB is the CPU time, kernel and user, of tunnel ends, ksoftirqd and iperf3,
per 10^9 payload bytes. Both ends and the load share the machine's cores. A run in which strangers
took more CPU than allowed was repeated, and the one with the least of it kept. Mode gso passes
super-packets through the link whole and flatters everybody; seggro segments at the sender and
merges at the receiver, as a network card would; seg merges nothing. Do not compare absolute
figures of different machines or days."""
