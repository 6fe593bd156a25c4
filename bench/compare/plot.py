"""The report's first section as a picture: bars by link and load, one panel a metric.

A bar is the median, the line on it goes from the least to the most. Needs matplotlib.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from bench.compare.report import Comparison
from bench.compare.results import METRICS, Figure, Subject, contenders, figure, sections, subjects

BARE = "veth"
BARE_COLOUR = "#c8c8c8"
COLOURS = ("#1b6ca8", "#e08e2b", "#6a9a4c", "#a05195", "#8c6d46", "#4f8f8b", "#c05a5a")
WIDTH = 11.0
PANEL_HEIGHT = 3.2
BARS_WIDTH = 0.9
LABEL_SIZE = 6
# The bare link is far ahead: bars end a little above the tallest tunnel, the number says the rest.
HEADROOM = 1.25
_PANELS = {
    "gbps": ("tcp", "TCP, Gbit/s (more is better)"),
    "cpu_s_per_gb": ("tcp", "CPU seconds per GB (less is better)"),
    "kpps": ("packets", "packets/s in thousands with < 1 % loss (more is better)"),
    "rtt_us": ("rtt", "round trip, µs (less is better)"),
}


def draw(comparison: Comparison, out: Path) -> list[Path]:
    """report.png and report.svg are in `out`; their paths are returned."""
    (first, *_) = sections(comparison.samples)
    shown = [sample for sample in comparison.samples if sample.subject.section == first]
    comparison = replace(comparison, samples=shown)
    keys = [key for key, (part, _) in _PANELS.items() if subjects(comparison.samples, part)]
    wide = [key for key in keys if _PANELS[key][0] == "tcp"]
    narrow = [key for key in keys if key not in wide]
    rows = [[key, key] for key in wide]
    rows += [narrow * (2 // len(narrow))] if narrow else []
    picture = Picture(figsize=(WIDTH, PANEL_HEIGHT * len(rows)), layout="constrained")
    panels: dict[str, Axes] = picture.subplot_mosaic(rows)
    for key, panel in panels.items():
        _draw_panel(panel, comparison, key)
    handles, labels = panels[keys[0]].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    picture.supxlabel("bars: median of rounds; lines: least to most", x=0.99, ha="right", size=7)
    written = [out / "report.png", out / "report.svg"]
    for path in written:
        picture.savefig(path, dpi=110)
    return written


def _draw_panel(panel: Axes, comparison: Comparison, key: str) -> None:
    part, title = _PANELS[key]
    groups = subjects(comparison.samples, part)
    names = contenders(comparison.samples)
    width = BARS_WIDTH / len(names)
    tallest = 0.0
    drawn: list[tuple[float, Figure]] = []
    for order, name in enumerate(names):
        bars = _bars(comparison, name, groups, key)
        if name != BARE:
            tallest = max([tallest, *(bar.most for bar in bars.values())])
        at = [group + (order - (len(names) - 1) / 2) * width for group in bars]
        colour = BARE_COLOUR if name == BARE else COLOURS[order % len(COLOURS)]
        panel.bar(
            at,
            [bar.median for bar in bars.values()],
            width,
            label=name,
            color=colour,
            yerr=_spread(bars.values()),
            error_kw={"elinewidth": 0.7, "ecolor": "#404040"},
        )
        drawn += zip(at, bars.values(), strict=True)
    if tallest:
        panel.set_ylim(0, tallest * HEADROOM)
    _label_bars(panel, drawn, METRICS[key].decimals)
    panel.set_xlim(-0.5, len(groups) - 0.5)
    panel.set_xticks(range(len(groups)), [_group_name(group) for group in groups])
    panel.set_title(title, loc="left", fontsize=10)
    panel.spines[["top", "right"]].set_visible(False)


def _bars(comparison: Comparison, name: str, groups: list[Subject], key: str) -> dict[int, Figure]:
    found = {
        group: figure(comparison.samples, name, subject, key, comparison.reference)
        for group, subject in enumerate(groups)
    }
    return {group: bar for group, bar in found.items() if bar is not None}


def _spread(bars: Iterable[Figure]) -> list[list[float]]:
    """How far least and most are from the median; nothing where there was one round."""
    bars = list(bars)
    return [[b.median - b.least for b in bars], [b.most - b.median for b in bars]]


def _label_bars(panel: Axes, drawn: Iterable[tuple[float, Figure]], decimals: int) -> None:
    _, top = panel.get_ylim()
    for x, bar in drawn:
        is_cut = bar.median > top
        # Three digits: more are wider than the bar, and less than rounds are apart.
        shown = max(0, decimals - (bar.median >= 10))
        text = f"{bar.median:.{shown}f}" + ("↑" if is_cut else "")
        above = "top" if is_cut else "bottom"
        panel.text(x, min(bar.most, top), text, ha="center", va=above, fontsize=LABEL_SIZE)


def _group_name(subject: Subject) -> str:
    return f"{subject.link}\n{subject.load}".replace(", ipv4", "").replace(", MTU 1420", "")
