"""The command line and the names of contenders on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.compare import implementations
from bench.compare.implementations import Implementation, Missing, contender
from bench.compare.lab import Link
from bench.compare.options import parse


def test_every_link_and_load_that_was_asked_for() -> None:
    options = parse(
        ["--modes", "seg,gso", "--mtu", "1420,8920", "--streams", "1,8", "--seconds", "2"]
    )
    assert options.links == (
        Link("seg", "ipv4", 1420),
        Link("gso", "ipv4", 1420),
        Link("seg", "ipv4", 8920),
        Link("gso", "ipv4", 8920),
    )
    assert [load.name for load in options.loads] == ["1 stream", "8 streams"]
    assert {load.seconds for load in options.loads} == {2}


def test_peers_that_are_only_there_are_part_of_the_link() -> None:
    one, many = parse(["--modes", "seg", "--peers", "1,1000"]).links
    assert (one.name, many.name) == ("seg, ipv4, MTU 1420", "seg, ipv4, MTU 1420, 1000 peers")


def test_all_three_modes_and_a_limit_on_strangers_without_asking() -> None:
    options = parse([])
    assert [link.mode for link in options.links] == ["gso", "seggro", "seg"]
    assert [load.congestion for load in options.loads] == ["cubic", "cubic"]
    assert options.max_foreign == 0.04
    assert not options.is_explicit


def test_quick_is_quicker() -> None:
    quick, whole = parse(["--quick"]).effort, parse([]).effort
    assert quick.runs * quick.seconds < whole.runs * whole.seconds
    assert quick.budget < 180 < whole.budget
    assert [link.mode for link in parse(["--quick"]).links] == ["seggro"]
    assert [link.mode for link in parse(["--quick", "--modes", "gso"]).links] == ["gso"]


def test_word_that_means_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--modes", "seggro,fast"])
    assert "'fast' is not one of gso, seggro, seg" in capsys.readouterr().err


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> list[str]:
        raise Missing("nowhere to be found")

    table = (
        Implementation("one", "", lambda: ["/bin/one"], {"LEVEL": "low"}, lambda _: "1.0"),
        Implementation("two", "", lambda: ["/bin/two"], {}, lambda _: "2.0"),
        Implementation("gone", "", missing),
        Implementation("bare", "", None),
    )
    monkeypatch.setattr(implementations, "IMPLEMENTATIONS", {i.name: i for i in table})


def test_one_name_is_both_ends() -> None:
    pair = contender("one")
    assert pair.a is pair.b
    assert pair.is_tunnel
    assert (pair.a.command, pair.a.version) == (("/bin/one",), "1.0")


def test_two_names_and_their_settings() -> None:
    pair = contender("one@LEVEL=high@MODE=x=y:two")
    assert pair.a.environment == {"LEVEL": "high", "MODE": "x=y"}
    assert (pair.b.name, pair.b.environment) == ("two", {})


def test_bare_link_is_no_tunnel() -> None:
    assert not contender("bare").is_tunnel


@pytest.mark.parametrize("name", ["three", "one:bare", "bare:one"])
def test_what_cannot_be_compared(name: str) -> None:
    with pytest.raises(ValueError, match=r"unknown implementation|bare link"):
        contender(name)


def test_what_is_not_there() -> None:
    with pytest.raises(Missing):
        contender("gone")


def test_results_stay_out_of_the_tree() -> None:
    ignored = Path(__file__).parents[2].joinpath(".gitignore").read_text().splitlines()
    assert parse([]).out.parent.name == "results"
    assert "bench/results/" in ignored
