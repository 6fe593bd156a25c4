"""The sections of a comparison, and how long they will take. Values only, nothing runs here.

`--full` asks for everything that is an option otherwise. A section is what one command line could
have asked for; all of them make one report.
"""

from __future__ import annotations

from dataclasses import replace

from bench.compare.implementations import DEFAULT
from bench.compare.lab import Link
from bench.compare.options import Options
from bench.compare.rtt import INTERVAL

FURTHER_ROUNDS = 3
# They say where the scale begins and ends, once.
LANDMARKS = ("naive", "veth")
MANY_PEERS = 1000
CARD_MODES = ("gso", "seggro")

# Seconds on a quiet machine besides the load itself, and trials of one search, as measured.
_LAB_SECONDS = 1.0
_RUN_SECONDS = 0.4
_TRIAL_SECONDS = 0.2
_TRIALS = 11
_SERIES_SECONDS = 0.5
_LOADS_OF_ROUND_TRIPS = 3


def sections(whole: Options) -> list[Options]:
    """What was asked for; with `--full`, what it leaves out besides, in fewer rounds."""
    if not whole.full:
        return [whole]
    further = replace(
        whole,
        contenders=whole.contenders if whole.is_explicit else _without_landmarks(),
        parts=("tcp",),
        effort=replace(whole.effort, runs=min(FURTHER_ROUNDS, whole.effort.runs)),
    )
    return [whole, _families(further), _directions(further), _many_peers(further)]


def estimate(section: Options) -> float:
    """The seconds that a section takes where nobody disturbs it."""
    effort = section.effort
    tcp = len(section.links) * len(section.loads) * effort.runs * (effort.seconds + _RUN_SECONDS)
    trials = len(section.packets) * effort.searches * _TRIALS
    series = _LOADS_OF_ROUND_TRIPS * effort.series
    seconds = {
        "tcp": tcp,
        "packets": trials * (effort.trial_seconds + _TRIAL_SECONDS),
        "rtt": series * (effort.pings * INTERVAL + _SERIES_SECONDS),
    }
    parts = sum(seconds[part] for part in section.parts)
    return len(section.contenders) * (parts + len(section.links) * _LAB_SECONDS)


def _without_landmarks() -> tuple[str, ...]:
    return tuple(name for name in DEFAULT if name not in LANDMARKS)


def _families(further: Options) -> Options:
    links = tuple(
        Link(mode, family, mtu)
        for family in ("ipv4", "ipv6")
        for mtu in (1420, 8920)
        for mode in CARD_MODES
    )
    return replace(further, title="Families and sizes", links=links)


def _directions(further: Options) -> Options:
    loads = tuple(
        replace(load, direction=direction)
        for direction in ("reverse", "bidirectional")
        for load in further.loads
    )
    return replace(further, title="Directions", loads=loads)


def _many_peers(further: Options) -> Options:
    links = tuple(Link(mode, "ipv4", 1420, MANY_PEERS) for mode in CARD_MODES)
    return replace(further, title="Many peers", parts=("tcp", "packets"), links=links)
