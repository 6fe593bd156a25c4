"""The report's first section as a picture: bars by link and load, one panel a metric.

Needs matplotlib.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from matplotlib.patches import Rectangle

from bench.compare.report import Comparison
from bench.compare.results import METRICS, Figure, Subject, contenders, figure, sections, subjects

BARE = "veth"
BARE_COLOUR = "#c8c8c8"
COLOURS = ("#1b6ca8", "#e08e2b", "#6a9a4c", "#a05195", "#8c6d46", "#4f8f8b", "#c05a5a")
WIDTH = 11.0
PANEL_HEIGHT = 3.2
BARS_WIDTH = 0.82
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
    for order, name in enumerate(names):
        bars = _bars(comparison, name, groups, key)
        if name != BARE:
            tallest = max([tallest, *(bar.median for bar in bars.values())])
        at = [group + (order - (len(names) - 1) / 2) * width for group in bars]
        colour = BARE_COLOUR if name == BARE else COLOURS[order % len(COLOURS)]
        panel.bar(at, [b.median for b in bars.values()], width, label=name, color=colour)
    if tallest:
        panel.set_ylim(0, tallest * HEADROOM)
    _label_bars(panel, METRICS[key].decimals)
    panel.set_xticks(range(len(groups)), [_group_name(group) for group in groups])
    panel.set_title(title, loc="left", fontsize=10)
    panel.spines[["top", "right"]].set_visible(False)


def _bars(comparison: Comparison, name: str, groups: list[Subject], key: str) -> dict[int, Figure]:
    found = {
        group: figure(comparison.samples, name, subject, key, comparison.reference)
        for group, subject in enumerate(groups)
    }
    return {group: bar for group, bar in found.items() if bar is not None}


def _label_bars(panel: Axes, decimals: int) -> None:
    _, top = panel.get_ylim()
    for bar in (patch for patch in panel.patches if isinstance(patch, Rectangle)):
        x, width, height = bar.get_x(), bar.get_width(), bar.get_height()
        is_cut = height > top
        text = f"{height:.{decimals}f}" + (" ↑" if is_cut else "")
        above = "top" if is_cut else "bottom"
        panel.text(x + width / 2, min(height, top), text, ha="center", va=above, fontsize=7)


def _group_name(subject: Subject) -> str:
    return f"{subject.link}\n{subject.load}".replace(", ipv4", "").replace(", MTU 1420", "")
