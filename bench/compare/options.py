"""The command line: what is compared, over what, for how long."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.compare.implementations import DEFAULT, IMPLEMENTATIONS, REFERENCE
from bench.compare.lab import MODES, Link
from bench.compare.load import DIRECTIONS, Load
from bench.compare.smallpackets import Packets

QUICK_BUDGET = 100.0
RESULTS = Path(__file__).parents[1] / "results"
HONEST_MODE = "seggro"
ALL_PARTS = ("tcp", "packets", "rtt")
# What --full asks for itself.
SET_BY_FULL = ("parts", "modes", "directions", "family", "mtu", "peers")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much time everything may take.

    Rounds of TCP runs, of small-packet searches and of ping series with the pings of one; seconds
    of a TCP run; tries of a run that strangers disturb, and seconds to wait for them to be quiet
    first; seconds of one trial of a search, and the ratio it narrows down to; seconds after
    which nothing is waited for or tried again.
    """

    runs: int
    searches: int
    series: int
    pings: int
    seconds: int
    tries: int
    patience: float
    trial_seconds: float
    rate_step: float
    budget: float


@dataclass(frozen=True, slots=True)
class Options:
    """One comparison, as asked for, or one section of it: then it has a title."""

    contenders: tuple[str, ...]
    is_explicit: bool
    reference: str
    parts: tuple[str, ...]
    links: tuple[Link, ...]
    loads: tuple[Load, ...]
    packets: tuple[Packets, ...]
    effort: Effort
    max_foreign: float
    out: Path
    full: bool = False
    title: str = ""


def parse(arguments: Sequence[str]) -> Options:
    """The options that the command line means; a mistake in it ends the program."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.full and any(getattr(given, n) != parser.get_default(n) for n in SET_BY_FULL):
        parser.error(f"--full sets these itself: {', '.join(SET_BY_FULL)}")
    effort = _effort(given)
    loads = tuple(
        Load(streams, direction, congestion, effort.seconds)
        for congestion in given.congestion
        for direction in given.directions
        for streams in given.streams
    )
    links = tuple(
        Link(mode, family, mtu, peers)
        for peers in given.peers
        for mtu in given.mtu
        for family in given.family
        for mode in given.modes or ((HONEST_MODE,) if given.quick else MODES)
    )
    return Options(
        tuple(given.impl or DEFAULT),
        given.impl is not None,
        given.reference,
        tuple(given.parts),
        links,
        loads,
        _packets(given),
        effort,
        given.max_foreign / 100,
        given.out or RESULTS / time.strftime("%Y%m%d-%H%M%S"),
        given.full,
    )


def _packets(given: argparse.Namespace) -> tuple[Packets, ...]:
    sizes = tuple(Packets(size) for size in given.sizes)
    return (*sizes, Packets(1300, 44)) if given.uso else sizes


def _effort(given: argparse.Namespace) -> Effort:
    if given.quick:
        budget = QUICK_BUDGET
        return Effort(given.runs or 3, 1, 2, 200, given.seconds or 1, 2, 1.0, 0.3, 1.15, budget)
    endless = float("inf")
    return Effort(given.runs or 5, 3, 5, 400, given.seconds or 3, 3, 20.0, 1.0, 1.04, endless)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare",
        description="Our data plane beside others', on this machine, in one run. Needs root.",
        epilog="A name takes settings, NAME@KEY=VALUE for an environment variable, and two names "
        "joined by a colon are the sending and the receiving end. Known names: "
        + "; ".join(f"{known.name} ({known.about})" for known in IMPLEMENTATIONS.values()),
    )
    _add_what(parser)
    _add_how(parser)
    return parser


def _add_what(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--impl", type=_list(), metavar="NAMES", help=f"default: {','.join(DEFAULT)}")
    add("--reference", default=REFERENCE, help="what ratios are to (default: %(default)s)")
    add("--parts", type=_list(ALL_PARTS), default=ALL_PARTS, help="tcp, packets, rtt")
    add("--modes", type=_list(MODES), help="gso, seggro, seg (default: all, quick seggro)")
    add("--streams", type=_numbers, default=(1, 4), help="default: 1,4")
    directions = _list(DIRECTIONS)
    add("--directions", type=directions, default=("forward",), help=", ".join(DIRECTIONS))
    add("--congestion", type=_list(), default=("cubic",), help="default: cubic")
    add("--family", type=_list(("ipv4", "ipv6")), default=("ipv4",), help="inside and outside")
    add("--mtu", type=_numbers, default=(1420,), help="of the tunnel; also 8920")
    add("--peers", type=_numbers, default=(1,), help="known to either end; one has traffic")
    add("--sizes", type=_numbers, default=(64,), help="of small packets: UDP payload bytes")
    add("--uso", action="store_true", help="also 44 packets of 1300 bytes a send")


def _add_how(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    either = parser.add_mutually_exclusive_group().add_argument
    either("--quick", action="store_true", help="short runs, under three minutes by default")
    either("--full", action="store_true", help="also IPv6, MTU 8920, other directions, 1000 peers")
    add("--runs", type=int, help="interleaved rounds of TCP (default: 5, quick 3)")
    add("--seconds", type=int, help="of each TCP run (default: 3, quick 1)")
    add("--max-foreign", type=float, default=4.0, help="CPU %% of strangers that repeats a run")
    add("--out", type=Path, help="for the report and plots (default: bench/results/NOW)")


def _list(allowed: Iterable[str] | None = None) -> _Split:
    return _Split(tuple(allowed) if allowed is not None else None)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


class _Split:
    """Comma-separated words, each one allowed."""

    def __init__(self, allowed: tuple[str, ...] | None) -> None:
        self._allowed = allowed

    def __call__(self, text: str) -> tuple[str, ...]:
        words = tuple(text.split(","))
        for word in words:
            if self._allowed is not None and word not in self._allowed:
                known = ", ".join(self._allowed)
                raise argparse.ArgumentTypeError(f"{word!r} is not one of {known}")
        return words
