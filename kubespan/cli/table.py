"""Text in columns, as talosctl prints it: every cell but the last padded by three spaces."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

PADDING: Final = 3


class Table:
    """Rows that are printed block by block; a column never gets narrower than it was."""

    def __init__(self) -> None:
        self._widths: list[int] = []

    def block(self, rows: Iterable[Sequence[str]]) -> str:
        """Return lines, each with its newline."""
        rows = list(rows)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        before = self._widths or [0] * len(widths)
        self._widths = [max(pair) for pair in zip(widths, before, strict=True)] if rows else before
        return "".join(map(self._line, rows))

    def _line(self, row: Sequence[str]) -> str:
        padded = zip(row[:-1], self._widths, strict=False)
        cells = [text.ljust(width + PADDING) for text, width in padded]
        return "".join([*cells, row[-1]]) + "\n"


def cell(value: Any) -> str:
    """Return a value as one cell: a list as compact JSON, and nothing that moves a cursor."""
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return printable(str(value))


def printable(text: str) -> str:
    """Return a text that does to a terminal nothing but show: names come from other hosts."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
