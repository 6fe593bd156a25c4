"""The three forms in which `get` shows resources: talosctl's table, YAML and JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, Protocol

from kubespan.cli.document import to_json, to_yaml
from kubespan.cli.table import Table, cell

SIGNS: Final = {"created": "+", "updated": " ", "destroyed": "-"}
"""What the table puts where YAML and JSON say the event."""


class Change(NamedTuple):
    """A resource as it came from the node, and what happened to it, if that was asked for."""

    item: dict[str, Any]
    event: str = ""


class Form(Protocol):
    """How resources of one kind, of one node, are shown."""

    def show(self, changes: Iterable[Change]) -> str:
        """Return text for some more of them."""


class TableForm:
    """A line for each."""

    def __init__(self, heading: dict[str, Any], *, with_events: bool) -> None:
        self._node = cell(heading["node"])
        self._singular = heading["kind"]["singular"]
        self._columns = heading["kind"]["columns"]
        self._with_events = with_events
        self._table = Table()
        self._has_begun = False

    def show(self, changes: Iterable[Change]) -> str:
        """Return lines, at first under a header."""
        rows = [self._row(change) for change in changes]
        if not self._has_begun:
            self._has_begun = True
            rows.insert(0, self._header())
        return self._table.block(rows)

    def _header(self) -> list[str]:
        events = ["*"] if self._with_events else []
        names = [name for name, _ in self._columns]
        return ["NODE", *events, "NAMESPACE", "TYPE", "ID", "VERSION", *names]

    def _row(self, change: Change) -> list[str]:
        metadata, spec = change.item["metadata"], change.item["spec"]
        events = [SIGNS[change.event]] if self._with_events else []
        return [
            self._node,
            *events,
            cell(metadata["namespace"]),
            self._singular,
            cell(metadata["id"]),
            str(metadata["version"]),
            *(cell(spec.get(field, "")) for _, field in self._columns),
        ]


class YamlForm:
    """A document for each."""

    def __init__(self, heading: dict[str, Any]) -> None:
        self._node = heading["node"]
        self._has_begun = False

    def show(self, changes: Iterable[Change]) -> str:
        """Return documents, with a line of dashes before each but the first."""
        return "".join(map(self._document, changes))

    def _document(self, change: Change) -> str:
        dashes = "---\n" if self._has_begun else ""
        self._has_begun = True
        event = {"event": change.event} if change.event else {}
        return dashes + to_yaml({"node": self._node, **event, **change.item})


class JsonForm:
    """An object for each."""

    def __init__(self, heading: dict[str, Any]) -> None:
        self._node = heading["node"]

    def show(self, changes: Iterable[Change]) -> str:
        """Return objects."""
        return "".join(map(self._document, changes))

    def _document(self, change: Change) -> str:
        event = {"event": change.event} if change.event else {}
        return to_json({"node": self._node, **event, **change.item})


def create_form(name: str, heading: dict[str, Any], *, with_events: bool = False) -> Form:
    """Return the form `table`, `yaml` or `json`."""
    if name == "table":
        return TableForm(heading, with_events=with_events)
    return YamlForm(heading) if name == "yaml" else JsonForm(heading)
