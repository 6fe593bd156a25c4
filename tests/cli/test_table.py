"""Tables: aligned as talosctl aligns them, block after block, and harmless to a terminal."""

from __future__ import annotations

from typing import Any

import pytest

from kubespan.cli.table import Table, cell, printable


def test_columns_are_three_spaces_apart() -> None:
    assert Table().block([["ID", "RX", "TX"], ["long-one", "1", ""], ["", "22", "3"]]) == (
        "ID         RX   TX\nlong-one   1    \n           22   3\n"
    )


def test_columns_do_not_get_narrower() -> None:
    table = Table()
    assert table.block([["long-one", "x"]]) == "long-one   x\n"
    assert table.block([["a", "x"]]) == "a          x\n"
    assert table.block([]) == ""
    assert (
        table.block([["a-longer-one", "x"], ["b", "x"]]) == "a-longer-one   x\nb              x\n"
    )


def test_nothing_is_nothing() -> None:
    assert Table().block([]) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        (7, "7"),
        ([], "[]"),
        (["172.20.0.3:51820", "[::1]:1"], '["172.20.0.3:51820","[::1]:1"]'),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        (["\x1b"], '["\\u001b"]'),
    ],
)
def test_cells(value: Any, text: str) -> None:
    assert cell(value) == text


def test_texts_that_move_a_cursor_are_spelled_out() -> None:
    assert printable("Köln-1") == "Köln-1"
    assert printable("a\nb\u202e") == r"a\nb\u202e"
