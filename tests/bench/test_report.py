"""The report: every figure has its ratio, and nothing that failed is passed over."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from bench.compare.report import Comparison, as_json, as_markdown, progress
from bench.compare.results import Sample, Subject

TCP = Subject("tcp", "seggro, ipv4, MTU 1420", "1 stream")
SEALED = {"udp_sent": 88, "udp_messages": 2, "sealed_batches": 4}
OPENED = {"udp_received": 99, "opened_messages": 60, "opened_batches": 3}
COUNTERS = {"a": {**SEALED, **OPENED}, "b": {}}
OURS = Sample("ours", TCP, 0, {"gbps": 3.0, "cpu_s_per_gb": 2.0}, 0.01, 1, COUNTERS)
THEIRS = Sample("theirs", TCP, 0, {"gbps": 1.5, "cpu_s_per_gb": 8.0}, 0.25, 3, {})
BROKEN = Sample("broken", TCP, 0, {}, 0.0, 1, {}, "kb1x2 exited: no such key")


def comparison(samples: Sequence[Sample]) -> Comparison:
    return Comparison(
        "python -m bench.compare", "theirs", {"cores": "2"}, {"ours": "1.0"}, {"ours": "native"},
        {"seggro": "tso: off"}, ["something was left out"], samples,
    )  # fmt: skip


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_figures_stand_beside_their_ratios() -> None:
    text = as_markdown(comparison([OURS, THEIRS]))
    assert ["ours", "3.00", "2.00", "2.00", "0.25", "1; 1.0%"] in rows(text)
    assert ["theirs", "1.50", "1.00", "8.00", "1.00", "1; 25.0%"] in rows(text)


def test_ratios_come_first_in_one_table() -> None:
    text = as_markdown(comparison([OURS, THEIRS]))
    assert [TCP.name, "Gbit/s", "2.00"] in rows(text)
    assert text.index("## Ratios to theirs") < text.index("## TCP")


def test_no_ratios_without_the_reference() -> None:
    assert "## Ratios" not in as_markdown(comparison([OURS]))


def test_failure_is_shown_with_its_reason() -> None:
    text = as_markdown(comparison([OURS, THEIRS, BROKEN]))
    assert [
        "broken",
        "failed",
        "",
        "failed",
        "",
        "0; 0.0%; 1 failed: kb1x2 exited: no such key",
    ] in rows(text)
    assert "kb1x2 exited: no such key" in text
    assert "FAILED" in progress(BROKEN)


def test_a_round_that_failed_has_its_reason_beside_those_that_worked() -> None:
    broken = Sample("ours", TCP, 1, {}, 0.0, 1, {}, "iperf3 did not finish\nkb1x2 running:")
    text = as_markdown(comparison([OURS, THEIRS, broken]))
    last = "1; 1.0%; 1 failed: iperf3 did not finish"
    assert ["ours", "3.00", "2.00", "2.00", "0.25", last] in rows(text)


def test_the_same_failure_in_every_round_is_noted_once() -> None:
    again = dataclasses.replace(BROKEN, round=1)
    text = as_markdown(comparison([OURS, BROKEN, again]))
    assert text.count("- broken, seggro") == 1
    assert "0; 0.0%; 2 failed: kb1x2 exited" in text


def test_sections_keep_apart_what_is_of_one_link() -> None:
    again = dataclasses.replace(TCP, section="Directions")
    ours = dataclasses.replace(OURS, subject=again, values={"gbps": 6.0})
    theirs = dataclasses.replace(THEIRS, subject=again, values={"gbps": 2.0})
    text = as_markdown(comparison([OURS, THEIRS, ours, theirs]))
    first, second = text.split("## Directions: TCP, seggro")
    assert ["ours", "3.00", "2.00", "2.00", "0.25", "1; 1.0%"] in rows(first)
    assert ["ours", "6.00", "3.00", "1; 1.0%"] in rows(second)
    assert [f"Directions: {TCP.name}", "Gbit/s", "3.00"] in rows(first)


def test_links_with_the_same_features_share_a_block() -> None:
    alike = dataclasses.replace(comparison([OURS]), features={"one": "tso: on", "two": "tso: on"})
    text = as_markdown(alike)
    assert "`ethtool -k`, one; two:" in text
    assert text.count("tso: on") == 1


def test_conditions_are_in_the_report() -> None:
    text = as_markdown(comparison([OURS, THEIRS]))
    for fact in ("`python -m bench.compare`", "tso: off", "something was left out"):
        assert fact in text
    assert ["cores", "2"] in rows(text)
    assert ["ours says", "native"] in rows(text)


def test_counters_become_quotients() -> None:
    text = as_markdown(comparison([OURS, THEIRS]))
    assert ["ours", TCP.name, "a", "", "22.0", "44.0", "", "", "20.0", ""] in rows(text)
    assert not [row for row in rows(text) if row[:3] == ["ours", TCP.name, "b"]]


def test_json_has_every_sample() -> None:
    kept = json.loads(as_json(comparison([OURS, BROKEN])))["samples"]
    assert [sample["contender"] for sample in kept] == ["ours", "broken"]
    assert kept[0]["values"] == {"gbps": 3.0, "cpu_s_per_gb": 2.0}
