"""Mistakes: how they print, in which order, and what they never repeat."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.config.mistake import (
    ConfigMistakes,
    Findings,
    Ignored,
    Mistake,
    Place,
    Steps,
    format_path,
    looks_like_a_key,
    quote,
)
from kubespan.model.errors import ConfigError
from tests.config.reading import SECRET


def test_a_mistake_is_one_line_that_editors_know() -> None:
    assert Mistake(Place(3, 7), "a.b", "write c").describe("f.yaml") == "f.yaml:3:7: a.b: write c"


def test_a_mistake_about_the_whole_file_has_no_path() -> None:
    assert Mistake(Place(1, 1), "", "write c").describe("f.yaml") == "f.yaml:1:1: write c"


def test_mistakes_are_sorted_by_place() -> None:
    late, early = Mistake(Place(10, 1), "a", "x"), Mistake(Place(9, 30), "b", "y")
    error = ConfigMistakes("f", [late, early])
    assert error.mistakes == (early, late)
    assert str(error) == "f:9:30: b: y\nf:10:1: a: x"
    assert isinstance(error, ConfigError)


@pytest.mark.parametrize(
    ("steps", "path"),
    [
        ((), ""),
        (("machine", "network"), "machine.network"),
        (("a", 0, "b"), "a[0].b"),
        (("labels", "example.com/x"), "labels['example.com/x']"),
        (("labels", ""), "labels['']"),
        (("labels", "a\nb"), "labels['a\\nb']"),
        (("a", SECRET), "a[44 characters that may be a secret]"),
        (("a", SECRET[:-1]), "a[43 characters that may be a secret]"),
    ],
)
def test_a_path_reads_like_the_configuration(steps: Steps, path: str) -> None:
    assert format_path(steps) == path


@pytest.mark.parametrize("text", [SECRET, SECRET[:-1], SECRET[:32], SECRET.replace("+", "-"), "="])
def test_what_may_be_a_secret_is_not_repeated(text: str) -> None:
    assert looks_like_a_key(text)
    assert quote(text) == f"{len(text)} characters that may be a secret"


@pytest.mark.parametrize("text", ["192.168.0.0/16", "[2001:db8::1]:51820", "worker", ""])
def test_what_is_no_secret_is_repeated(text: str) -> None:
    assert quote(text) == repr(text)


def test_what_is_long_is_not_repeated() -> None:
    assert quote("a b" * 40) == "120 characters"


@given(st.text())
def test_a_quote_is_one_line(text: str) -> None:
    assert len(quote(text).splitlines()) == 1


def test_findings_are_kept_once_and_in_order() -> None:
    findings = Findings()
    for line in (5, 2, 5):
        findings.add_mistake(Place(line, 1), ("a",), "x")
        findings.add_ignored(Place(line, 2), ("b", line))
    assert [m.place.line for m in findings.mistakes] == [2, 5]
    assert findings.ignored == (Ignored(Place(2, 2), "b[2]"), Ignored(Place(5, 2), "b[5]"))


def test_findings_know_what_is_wrong_above_and_exactly() -> None:
    findings = Findings()
    findings.add_mistake(Place(1, 2), ("a", "b", 0), "x")
    assert findings.has_mistake("a")
    assert findings.has_mistake("a", "b", 0)
    assert not findings.has_mistake("a", "c")
    assert not findings.has_mistake("a", "b", 0, "c")
    assert findings.has_mistake_at(Place(1, 2), ("a", "b", 0))
    assert not findings.has_mistake_at(Place(1, 1), ("a", "b", 0))
