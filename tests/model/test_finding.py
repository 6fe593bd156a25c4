"""Findings: they are values, so that the same one twice is one."""

from __future__ import annotations

from kubespan.model.finding import Finding, FindingKind


def test_the_same_finding_is_the_same_value() -> None:
    once, again = (Finding(FindingKind.TALOS, "text", "next") for _ in range(2))
    assert {once, again} == {once}


def test_no_two_kinds_share_a_name() -> None:
    assert len({kind.value for kind in FindingKind}) == len(FindingKind.__members__)
