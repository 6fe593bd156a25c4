"""Trees: how to find the way in them, and how to leave something out."""

from __future__ import annotations

import pytest

from kubespan.config.mistake import Findings, Place, Steps
from kubespan.config.tree import Entry, Mapping, Scalar, View, child, without
from tests.config.reading import node, view

TREE = {"a": {"b": ["x", {"c": "y"}]}, "d": "z"}


@pytest.mark.parametrize(
    ("text", "is_plain", "tag", "is_null"),
    [
        ("", True, "", True),
        ("~", True, "", True),
        ("null", True, "", True),
        ("NULL", True, "", True),
        ("nil", True, "", False),
        ("", False, "", False),
        ("null", True, "tag:yaml.org,2002:str", False),
    ],
)
def test_null_is_written_in_few_ways(text: str, is_plain: bool, tag: str, is_null: bool) -> None:
    assert Scalar(Place(1, 1), text, is_plain, tag).is_null is is_null


def test_a_scalar_does_not_print_its_text() -> None:
    assert "hush" not in repr(Scalar(Place(1, 1), "hush"))


@pytest.mark.parametrize(
    "steps", [("b",), (0,), ("a", "b", 2), ("a", 0), ("d", "e"), ("a", "b", "c")]
)
def test_where_nothing_is_there_is_no_child(steps: Steps) -> None:
    found = node(TREE)
    for step in steps[:-1]:
        below = child(found, step)
        assert below is not None
        found = below
    assert child(found, steps[-1]) is None


def test_a_view_goes_down() -> None:
    below = view(TREE, "K").at("a", "b", 1, "c")
    assert below.node == Scalar(Place(2, 1), "y")
    assert below.steps == ("K", "a", "b", 1, "c")


def test_a_view_of_nothing_is_where_it_would_be() -> None:
    missing = view({"x": "y", "a": {"b": "c"}}).at("a", "z", "b")
    assert missing.node.place == Place(2, 1)
    assert isinstance(missing.node, Mapping)
    assert missing.steps == ("a", "z", "b")


def test_a_view_remembers_what_is_wrong() -> None:
    whole = view(TREE)
    one = whole.at("d")
    assert not one.is_wrong
    one.mistake("write w")
    assert one.is_wrong
    assert not whole.is_wrong
    assert [m.describe("f") for m in whole.findings.mistakes] == ["f:2:1: d: write w"]


@pytest.mark.parametrize(
    ("ways", "left"),
    [
        ((), TREE),
        ((("d",),), {"a": {"b": ["x", {"c": "y"}]}}),
        ((("a", "b", 0),), {"a": {"b": [None, {"c": "y"}]}, "d": "z"}),
        ((("a", "b", 1, "c"), ("a", "b", 0)), {"a": {"b": [None, {}]}, "d": "z"}),
        ((("a",), ("a", "b"), ("nowhere",), ("d", "x"), ("a", "b", 7)), {"d": "z"}),
        ((("a", "b", 7), ("d", "x"), ("nowhere", 1)), TREE),
    ],
)
def test_leaving_out(ways: tuple[Steps, ...], left: object) -> None:
    assert plain(without(node(TREE), ways)) == left
    assert plain(node(TREE)) == TREE


def plain(tree: object) -> object:
    """Return nodes as the plain value that they were made of."""
    if isinstance(tree, Mapping):
        return {key: plain(entry.value) for key, entry in tree.entries.items()}
    if isinstance(tree, Scalar):
        return tree.text or None
    return [plain(item) for item in getattr(tree, "items", ())]


def test_what_is_ignored_is_at_its_key_or_at_the_last_on_the_way() -> None:
    inner = Mapping(Place(2, 9), {"b": Entry(Place(3, 3), Scalar(Place(3, 6), "x"))})
    whole = View(Mapping(Place(1, 1), {"a": Entry(Place(2, 2), inner)}), (), Findings())
    for steps in (("a", "b"), ("a", "c"), ("a", "b", "d"), ("e",)):
        whole.ignore(*steps)
    assert [(one.place.line, one.place.column, one.path) for one in whole.findings.ignored] == [
        (1, 1, "e"),
        (2, 2, "a.c"),
        (3, 3, "a.b"),
        (3, 3, "a.b.d"),
    ]


def test_an_empty_mapping_is_nothing_to_look_at() -> None:
    nothing = View(Mapping(Place(1, 1)), (), Findings())
    assert nothing.at("a").node.place == Place(1, 1)
