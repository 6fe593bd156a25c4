"""What goes wrong in a run is in its sample or its report, with everything measured before."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from bench.compare.__main__ import main
from bench.compare.cpu import Usage
from bench.compare.implementations import Contender, End
from bench.compare.lab import Lab
from bench.compare.options import parse
from bench.compare.results import Sample, Subject
from bench.compare.rtt import RoundTrips
from bench.compare.session import Measured, Session, Work

TCP = Subject("tcp", "seggro, ipv4, MTU 1420", "1 stream")
BARE = End("veth", None, {}, "")


class StillLab:
    """As much of a lab as a run looks at that measures nothing."""

    contender = Contender("veth", BARE, BARE)

    def counters(self) -> dict[str, dict[str, int]]:
        return {}

    def complaint(self) -> str:
        return ""


@pytest.mark.parametrize("error", [json.JSONDecodeError("no JSON", "", 0), KeyError("end")])
def test_a_tool_that_says_something_else_has_failed(error: Exception) -> None:
    def measure(_lab: Lab) -> Measured:
        raise error

    session = Session(parse(["--quick"]), [])
    sample = session._sample(cast("Lab", StillLab()), Work(TCP, 1, measure), 0)
    assert sample.failure.startswith(str(error))
    assert (sample.values, sample.tries) == ({}, 1)


def test_a_try_that_failed_replaces_none_that_worked_and_is_told_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def measure(_lab: Lab) -> Measured:
        if tries:
            raise KeyError("end")
        tries.append(RoundTrips(90.0, 30.0, Usage(1.0, foreign=9.0, elapsed=1.0)))
        return tries[0]

    monkeypatch.setattr("bench.compare.session.wait_until_idle", lambda *_: None)
    tries: list[RoundTrips] = []
    session = Session(parse([]), [])
    sample = session._sample(cast("Lab", StillLab()), Work(TCP, 1, measure), 0)
    assert (sample.values, sample.failure) == (tries[0].values(), "")
    assert ["end" in note for note in session.notes] == [True]


def test_what_was_measured_before_a_mistake_of_ours_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def samples(_session: Session) -> Iterator[Sample]:
        yield Sample("veth", TCP, 0, {"gbps": 3.0}, 0.0, 1, {})
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(Session, "samples", samples)
    with pytest.raises(RuntimeError, match="nobody thought"):
        main(["--impl", "veth", "--out", str(tmp_path)])
    (kept,) = json.loads((tmp_path / "report.json").read_text())["samples"]
    assert kept["values"] == {"gbps": 3.0}


def test_full_hands_every_section_its_contenders_and_one_list_of_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def samples(session: Session) -> Iterator[Sample]:
        session.notes.append(f"seen {session.options.title}")
        for pair in session.contenders:
            yield Sample(pair.name, TCP, 0, {"gbps": 3.0}, 0.0, 1, {})

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(Session, "samples", samples)
    assert main(["--full", "--impl", "veth", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert len(report["samples"]) == len(report["notes"]) == 4
