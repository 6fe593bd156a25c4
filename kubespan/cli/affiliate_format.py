"""Affiliates and their events as text: a table for people, JSON and YAML for programs.

Pure: values in, text out. The table is talosctl's, with two columns more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import yaml

from kubespan.cli.affiliate import Event, Shown, document
from kubespan.cli.table import Table, cell

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
MARKS: Final = {Event.CREATED: "+", Event.UPDATED: " ", Event.DESTROYED: "-"}


class AffiliateTable:
    """Rows under one header; a column never becomes narrower than it was."""

    def __init__(self, *, marks: bool) -> None:
        self._marks = marks
        self._table = Table()
        self._has_begun = False

    def __call__(self, told: Sequence[Told]) -> str:
        """Return the rows, the first time below the header."""
        rows = [_cells(event, shown, marks=self._marks) for event, shown in told]
        if not self._has_begun:
            self._has_begun = True
            rows.insert(0, ("*", *HEADERS) if self._marks else HEADERS)
        return self._table.block(rows)


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
            return AffiliateTable(marks=marks)


def _cells(event: Event | None, shown: Shown, *, marks: bool) -> tuple[str, ...]:
    affiliate = shown.affiliate
    kubespan = affiliate.kubespan
    cells = (
        cell(shown.id),
        cell(affiliate.hostname),
        affiliate.machine_type.value,
        cell([str(address) for address in affiliate.addresses]),
        "" if kubespan is None else kubespan.public_key.base64(),
        cell([] if kubespan is None else [str(endpoint) for endpoint in kubespan.endpoints]),
    )
    return (MARKS[event or Event.UPDATED], *cells) if marks else cells
