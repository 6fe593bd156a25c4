"""One measured figure, what it has to be, and how figures are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A value with its unit; `least` and `most` are what is asked of it, None for nothing."""

    part: str
    name: str
    value: float
    unit: str
    least: float | None = None
    most: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether it is what it has to be; None where nothing is asked."""
        if self.least is None and self.most is None:
            return None
        return (self.least is None or self.value >= self.least) and (
            self.most is None or self.value <= self.most
        )

    @property
    def bound(self) -> str:
        """What is asked, as a table shows it."""
        if self.least is not None:
            return f"≥ {number(self.least)}"
        return f"≤ {number(self.most)}" if self.most is not None else ""


def number(value: float) -> str:
    """Three digits that matter, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def table(figures: Iterable[Figure]) -> str:
    """All figures as a Markdown table."""
    verdicts = {True: "yes", False: "**no**", None: ""}
    rows = [("part", "what", "measured", "", "asked", "holds"), ("---",) * 6]
    rows += [(f.part, f.name, number(f.value), f.unit, f.bound, verdicts[f.holds]) for f in figures]
    return "\n".join(_row(row) for row in rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
