"""What became of bringing the kernel to a plan: what was done, what failed, what is in the way."""

from __future__ import annotations

from dataclasses import dataclass

from kubespan.model.finding import Finding


@dataclass(frozen=True, slots=True)
class Failure:
    """One operation that the system refused; the others went on."""

    operation: str
    """What was to be done, with its object: `add address fd00::1/64`."""

    errno: int
    text: str
    """Why not, and what to do about it where that is known."""

    def __str__(self) -> str:
        return f"{self.operation}: {self.text}"


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one time; empty all over when everything was right already."""

    done: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    findings: tuple[Finding, ...] = ()
    leaks: tuple[Failure, ...] = ()
    """Those failures because of which packets for members may go out in clear."""


def joined(*reports: Report) -> Report:
    """Return several reports as one, in their order."""
    return Report(
        tuple(text for report in reports for text in report.done),
        tuple(failure for report in reports for failure in report.failures),
        tuple(finding for report in reports for finding in report.findings),
        tuple(failure for report in reports for failure in report.leaks),
    )
