"""The sections that --full has, and the time that they are said to take."""

from __future__ import annotations

import pytest

from bench.compare.options import Options, parse
from bench.compare.plan import estimate, sections


def cells(section: Options) -> set[tuple[str, str, int, int, str]]:
    return {
        (link.mode, link.family, link.mtu, link.peers, load.direction)
        for link in section.links
        for load in section.loads
    }


def test_one_section_without_asking_for_more() -> None:
    wanted = parse(["--mtu", "8920"])
    assert sections(wanted) == [wanted]


def test_full_begins_with_what_there_is_without_it() -> None:
    first, *further = sections(parse(["--full"]))
    usual = parse([])
    assert (first.links, first.loads, first.parts) == (usual.links, usual.loads, usual.parts)
    assert (first.contenders, first.effort) == (usual.contenders, usual.effort)
    assert all(section.effort.runs == 3 for section in further)
    assert all({"naive", "veth"}.isdisjoint(section.contenders) for section in further)


def test_full_has_everything_that_is_an_option_otherwise() -> None:
    measured = set().union(*(cells(section) for section in sections(parse(["--full"]))))
    for mode in ("gso", "seggro"):
        for family in ("ipv4", "ipv6"):
            assert {(mode, family, mtu, 1, "forward") for mtu in (1420, 8920)} <= measured
        assert (mode, "ipv4", 1420, 1000, "forward") in measured
    for mode in ("gso", "seggro", "seg"):
        for direction in ("forward", "reverse", "bidirectional"):
            assert (mode, "ipv4", 1420, 1, direction) in measured


def test_no_two_sections_of_one_title() -> None:
    titles = [section.title for section in sections(parse(["--full"]))]
    assert titles[0] == ""
    assert len(set(titles)) == len(titles)


def test_contenders_and_rounds_that_were_asked_for() -> None:
    asked = parse(["--full", "--impl", "kubespan,veth", "--runs", "1"])
    for section in sections(asked):
        assert section.contenders == ("kubespan", "veth")
        assert section.effort.runs == 1


def test_full_takes_about_an_hour_at_most() -> None:
    full, usual = parse(["--full", "--seconds", "2"]), parse(["--seconds", "2"])
    assert estimate(usual) < sum(estimate(section) for section in sections(full)) < 3900


@pytest.mark.parametrize("other", [["--quick"], ["--mtu", "8920"], ["--parts", "rtt"]])
def test_full_with_what_it_sets_itself(
    other: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(["--full", *other])
    assert "--full" in capsys.readouterr().err
