"""Codes are promises, and every one that can be said has a page that explains it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import kubespan
from kubespan.mesh.problem import ProblemCode, listed

PACKAGE = Path(kubespan.__file__).parent
PAGES = PACKAGE.parent / "docs" / "problems"
SECTIONS = ("**To confirm.**", "**What to do")


def said() -> set[str]:
    """Return the codes that some part of the program says."""
    names: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        names.update(re.findall(r"\bProblemCode\.([A-Z_]+)", path.read_text()))
    return {ProblemCode[name].value for name in names}


def test_codes_are_those_that_were_promised() -> None:
    assert {code.value for code in ProblemCode} == {
        "KS-NOREPLY", "KS-PSK", "KS-CLOCK", "KS-OVERLAP", "KS-TUNNEL-IN-TUNNEL", "KS-MTU",
        "KS-UDP-BLOCKED", "KS-DISC-DOWN", "KS-DISC-LIMIT", "KS-STALE-AFFILIATE", "KS-RPFILTER",
        "KS-USERNS", "KS-SLOWPATH", "KS-STEERING",
    }  # fmt: skip


def test_every_code_is_said_somewhere() -> None:
    assert {code.value for code in ProblemCode} - said() == set()


def test_every_code_that_is_said_has_a_page_and_no_other_has() -> None:
    assert {path.stem for path in PAGES.glob("KS-*.md")} == said()


def test_pages_say_what_they_are_about_how_to_be_sure_and_what_to_do() -> None:
    for path in PAGES.glob("KS-*.md"):
        text = path.read_text()
        assert text.startswith(f"# {path.stem}: "), path.name
        assert [section for section in SECTIONS if section not in text] == [], path.name


def test_all_pages_are_listed() -> None:
    linked = re.findall(r"\((KS-[A-Z-]+)\.md\)", (PAGES / "README.md").read_text())
    assert linked == sorted(path.stem for path in PAGES.glob("KS-*.md"))


@pytest.mark.parametrize(
    ("count", "text"), [(0, ""), (1, "0"), (3, "0, 1, 2"), (4, "0, 1, 2 and others")]
)
def test_however_many_there_are_a_few_are_listed(count: int, text: str) -> None:
    assert listed(range(count)) == text
