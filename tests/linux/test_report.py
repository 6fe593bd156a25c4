"""Reports: many are one, in their order."""

from __future__ import annotations

from kubespan.linux.report import Failure, Report, joined
from kubespan.model.finding import Finding, FindingKind

FAILURE = Failure("add address", 1, "Operation not permitted")
FINDING = Finding(FindingKind.TALOS, "text", "next")


def test_joined() -> None:
    parts = (Report(("a", "b")), Report(), Report(("c",), (FAILURE,)), Report(findings=(FINDING,)))
    assert joined(*parts) == Report(("a", "b", "c"), (FAILURE,), (FINDING,))
    assert joined() == Report()
    leak = Report((), (FAILURE,), (), (FAILURE,))
    assert joined(Report(("a",)), leak, Report()) == Report(("a",), (FAILURE,), (), (FAILURE,))


def test_a_failure_says_what_and_why() -> None:
    assert str(FAILURE) == "add address: Operation not permitted"
