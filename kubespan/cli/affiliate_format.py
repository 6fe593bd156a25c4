"""Affiliates and their events as text: a table for people, JSON and YAML for programs.

Pure: values in, text out. The table is talosctl's, with two columns more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import yaml

from kubespan.cli.affiliate import Event, Shown, document

Told: TypeAlias = tuple[Event | None, Shown]
"""An affiliate and what happened to it; None where only what there is was asked for."""

FORMATS: Final = ("table", "json", "yaml")

HEADERS: Final = (
    "ID",
    "HOSTNAME",
    "MACHINE TYPE",
    "ADDRESSES",
    "PUBLIC KEY",
    "ENDPOINTS",
)
GAP: Final = "   "
MARKS: Final = {Event.CREATED: "+", Event.UPDATED: " ", Event.DESTROYED: "-"}


class Table:
    """Rows under one header; a column never becomes narrower than it was."""

    def __init__(self, *, marks: bool) -> None:
        self._marks = marks
        self._widths: list[int] | None = None

    def __call__(self, told: Sequence[Told]) -> str:
        """Return the rows, the first time below the header."""
        rows = [_cells(event, shown, marks=self._marks) for event, shown in told]
        if self._widths is None:
            header = ("*", *HEADERS) if self._marks else HEADERS
            rows.insert(0, header)
            self._widths = [0] * len(header)
        columns = zip(self._widths, *rows, strict=True)
        self._widths = [max(width, *map(len, cells)) for width, *cells in columns]
        return "".join(_line(row, self._widths) for row in rows)


def json_lines(told: Sequence[Told]) -> str:
    """Return one line of JSON for each."""
    return "".join(f"{json.dumps(document(shown, event))}\n" for event, shown in told)


def yaml_documents(told: Sequence[Told]) -> str:
    """Return one YAML document for each."""
    return "".join(
        "---\n" + yaml.safe_dump(document(shown, event), indent=4, sort_keys=False)
        for event, shown in told
    )


def create_format(name: str, *, marks: bool) -> Callable[[Sequence[Told]], str]:
    """Return what makes text in the format of that name."""
    match name:
        case "json":
            return json_lines
        case "yaml":
            return yaml_documents
        case _:
            return Table(marks=marks)


def _cells(event: Event | None, shown: Shown, *, marks: bool) -> tuple[str, ...]:
    affiliate = shown.affiliate
    kubespan = affiliate.kubespan
    cells = (
        shown.id,
        affiliate.hostname,
        affiliate.machine_type.value,
        _list(affiliate.addresses),
        "" if kubespan is None else kubespan.public_key.base64(),
        _list(() if kubespan is None else kubespan.endpoints),
    )
    return (MARKS[event or Event.UPDATED], *cells) if marks else cells


def _list(values: Sequence[object]) -> str:
    return json.dumps([str(value) for value in values], separators=(",", ":"))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return GAP.join(padded).rstrip() + "\n"
