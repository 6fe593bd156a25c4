"""Runs one section of what was asked for, contenders taking turns, and hands out samples."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from bench.compare.cpu import Usage, wait_until_idle
from bench.compare.implementations import Contender
from bench.compare.lab import Lab, Link
from bench.compare.load import transfer
from bench.compare.options import Options
from bench.compare.processes import CommandFailed
from bench.compare.results import Sample, Subject
from bench.compare.rtt import loaded_round_trips, round_trips
from bench.compare.smallpackets import Packets, Trial, Workshop, highest_rate
from bench.compare.uapi import Refused

# A tool that says something else than expected has failed as well.
FAILURES = (CommandFailed, Refused, OSError, ValueError, LookupError)
FIXED_RATE = 50_000.0
# Bits a second that the slowest contender carries, too: round trips beside it are of like loads.
EVEN_RATE = 500_000_000


class Measured(Protocol):
    """What a measurement gives back."""

    @property
    def usage(self) -> Usage:
        """What it cost."""

    def values(self) -> dict[str, float]:
        """The measured figures by metric."""


@dataclass(frozen=True, slots=True)
class PacketRate:
    """The highest rate of a search, in packets a second, and the cost at the fixed rate."""

    highest: float
    microseconds_per_packet: float
    usage: Usage

    def values(self) -> dict[str, float]:
        """The measured figures by metric."""
        return {
            "kpps": self.highest / 1e3,
            "cpu_us_per_packet": self.microseconds_per_packet,
        }


@dataclass(frozen=True, slots=True)
class Work:
    """One thing to measure in every lab of a link, `rounds` times."""

    subject: Subject
    rounds: int
    measure: Callable[[Lab], Measured]


@dataclass(slots=True)
class Session:
    """One section of a comparison.

    `features` fills with what `ethtool -k` said, by link; `remarks` with what data planes say of
    themselves, by contender; `notes` with what was left out and why.
    """

    options: Options
    contenders: Sequence[Contender]
    features: dict[str, str] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _started_at: float = field(default_factory=time.monotonic)

    def samples(self) -> Generator[Sample, None, None]:
        """Every sample as soon as it is there; labs are gone when the iterator is closed."""
        with ExitStack() as stack:
            workshop: Workshop | None = None
            if "packets" in self.options.parts:
                workshop = Workshop()
                stack.callback(workshop.close)
            for link in self.options.links:
                yield from self._link(link, self._work(link, workshop))

    def _work(self, link: Link, workshop: Workshop | None) -> list[Work]:
        work: list[Work] = []
        if "tcp" in self.options.parts:
            work += self._tcp(link)
        if link is not self._plain_link:
            return work
        if workshop is not None:
            work += [self._packet_rate(link, packets, workshop) for packets in self.options.packets]
        if "rtt" in self.options.parts:
            work += self._round_trips(link)
        return work

    @property
    def _plain_link(self) -> Link:
        """Where small packets and round trips are measured: they make nothing to segment."""
        links = self.options.links
        return next((link for link in links if link.mode == "gso"), links[0])

    def _tcp(self, link: Link) -> list[Work]:
        return [
            Work(
                self._subject("tcp", link, load.name),
                self.options.effort.runs,
                partial(transfer, load=load),
            )
            for load in self.options.loads
        ]

    def _packet_rate(self, link: Link, packets: Packets, workshop: Workshop) -> Work:
        effort = self.options.effort

        def measure(lab: Lab) -> PacketRate:
            def offer(rate: float) -> Trial:
                return workshop.trial(lab, packets, rate, effort.trial_seconds)

            best = highest_rate(offer, effort.rate_step)
            fixed = offer(FIXED_RATE)
            return PacketRate(best.rate, fixed.microseconds_per_packet, best.usage)

        return Work(self._subject("packets", link, packets.name), effort.searches, measure)

    def _round_trips(self, link: Link) -> list[Work]:
        effort = self.options.effort
        measures: dict[str, Callable[..., Measured]] = {
            "idle": round_trips,
            f"beside {EVEN_RATE / 1e9:g} Gbit/s": partial(loaded_round_trips, rate=EVEN_RATE),
            "beside a full stream": loaded_round_trips,
        }
        return [
            Work(
                self._subject("rtt", link, load),
                effort.series,
                partial(measure, count=effort.pings),
            )
            for load, measure in measures.items()
        ]

    def _subject(self, part: str, link: Link, load: str) -> Subject:
        return Subject(part, link.name, load, self.options.title)

    def _link(self, link: Link, work: Sequence[Work]) -> Iterator[Sample]:
        with self._labs(link) as labs:
            for number in range(max((item.rounds for item in work), default=0)):
                # Another order every round: nobody always follows the same neighbour.
                turn = number % max(1, len(labs))
                for item in (item for item in work if number < item.rounds):
                    for lab in (*labs[turn:], *labs[:turn]):
                        yield self._sample(lab, item, number)

    @contextmanager
    def _labs(self, link: Link) -> Iterator[list[Lab]]:
        with ExitStack() as stack:
            labs = []
            for contender in self.contenders:
                try:
                    lab = stack.enter_context(Lab(contender, link))
                    self.remarks[contender.name] = lab.remarks()
                    labs.append(lab)
                except FAILURES as error:
                    self.notes.append(f"{contender.name} left out of {link.name}: {error}")
                    print(self.notes[-1], file=sys.stderr)
            if labs:
                self.features[link.name] = labs[0].features()
            yield labs

    def _sample(self, lab: Lab, work: Work, number: int) -> Sample:
        best: Sample | None = None
        for tried in range(1, self.options.effort.tries + 1):
            sample = self._once(lab, work, number, tried)
            if sample.failure and best is not None:
                self.notes.append(f"{sample.contender}, {work.subject}: {sample.failure}")
                break
            if best is None or sample.foreign_share < best.foreign_share:
                best = sample
            if best.foreign_share <= self.options.max_foreign or self._is_late():
                break
        assert best is not None
        return best

    def _once(self, lab: Lab, work: Work, number: int, tried: int) -> Sample:
        if not self._is_late():
            wait_until_idle(self.options.max_foreign, self.options.effort.patience)
        name = lab.contender.name
        try:
            before = lab.counters()
            measured = work.measure(lab)
            counted = {end: _since(before[end], now) for end, now in lab.counters().items()}
        except FAILURES as error:
            failure = f"{str(error) or repr(error)}\n{lab.complaint()}".strip()
            return Sample(name, work.subject, number, {}, 0.0, tried, {}, failure)
        share = measured.usage.foreign_share
        return Sample(name, work.subject, number, measured.values(), share, tried, counted)

    def _is_late(self) -> bool:
        return time.monotonic() - self._started_at > self.options.effort.budget


def _since(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    return {name: count - before.get(name, 0) for name, count in now.items()}
