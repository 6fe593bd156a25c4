"""Sections: what may stand in them, and what is left when something is wrong."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytest
from pydantic import BeforeValidator, Field

from kubespan.config.scalar import Flag, Number, Text, Texts, absent_if_null, read_items
from kubespan.config.section import Section, advise, read_section
from kubespan.config.tree import View
from tests.config.reading import SECRET, messages, view


class Leaf(Section):
    some_text: Text = ""
    list_of_texts: Texts = None


class Tree(Section):
    elsewhere: ClassVar[frozenset[str]] = frozenset({"kubelet", "install"})

    flag: Flag = False
    number: Number = None
    cluster_id: Text = Field(default="", alias="clusterID")
    leaf: Leaf = Leaf()
    perhaps: Annotated[Leaf | None, BeforeValidator(absent_if_null)] = None
    leaves: Annotated[tuple[Leaf, ...] | None, BeforeValidator(read_items)] = None


def read(value: object) -> tuple[Tree, View]:
    return read_section(Tree, view(value, "K"))


def test_keys_are_in_camel_case() -> None:
    assert Leaf.keys() == ("someText", "listOfTexts")
    assert "clusterID" in Tree.keys()  # noqa: SIM118  not the keys of a dict


def test_a_section_takes_what_is_right() -> None:
    found, left = read(
        {
            "flag": "on",
            "number": "7",
            "clusterID": "x",
            "leaf": {"someText": 1, "listOfTexts": ["a", "b"]},
            "leaves": [{"someText": "c"}, None],
        }
    )
    assert messages(left) == []
    assert (found.flag, found.number, found.cluster_id) == (True, 7, "x")
    assert (found.leaf.some_text, found.leaf.list_of_texts) == ("1", ("a", "b"))
    assert found.leaves is not None
    assert [leaf.some_text for leaf in found.leaves] == ["c", ""]


def test_null_is_an_empty_section_or_none() -> None:
    found, left = read({"leaf": None, "perhaps": None})
    assert messages(left) == []
    assert found.leaf.some_text == ""
    assert found.perhaps is None
    assert read({"perhaps": {}})[0].perhaps is not None


def test_everything_wrong_is_said_and_the_rest_is_kept() -> None:
    found, left = read(
        {
            "flag": "maybe",
            "number": "7",
            "leaf": {"someText": [], "listOfTexts": ["a", {}, "b", []]},
            "leaves": ["x", {"someText": "kept", "listOfTexts": "y"}],
        }
    )
    assert sorted(messages(left)) == [
        "K.flag: write true or false",
        "K.leaf.listOfTexts[1]: write a word or a number here, not a list or a mapping",
        "K.leaf.listOfTexts[3]: write a word or a number here, not a list or a mapping",
        "K.leaf.someText: write a word or a number here, not a list or a mapping",
        "K.leaves[0]: write keys with values here, each in a line of its own",
        "K.leaves[1].listOfTexts: write a list: each item in a line of its own, after a dash",
    ]
    assert (found.flag, found.number) == (False, 7)
    assert found.leaf.list_of_texts == ("a", "", "b", "")
    assert found.leaves is not None
    assert found.leaves[1].some_text == "kept"


@pytest.mark.parametrize("value", ["x", ["x"]])
def test_what_is_no_section_is_an_empty_one(value: object) -> None:
    found, left = read(value)
    assert messages(left) == ["K: write keys with values here, each in a line of its own"]
    assert found == Tree()


def test_a_key_that_talos_knows_is_ignored_by_name() -> None:
    _, left = read({"kubelet": {"what": ["ever"]}, "number": 1, "install": None})
    assert messages(left) == []
    assert [(one.place.line, one.path) for one in left.findings.ignored] == [
        (1, "K.kubelet"),
        (3, "K.install"),
    ]


UNKNOWN: list[tuple[dict[str, object], str]] = [
    ({"numbr": 1}, "K.numbr: there is no such key here; did you mean number?"),
    ({"kubelt": 1}, "K.kubelt: there is no such key here; did you mean kubelet?"),
    ({"zzz": 1}, "K.zzz: there is no such key here; remove it"),
    (
        {"leaf": {"zzz": 1}},
        "K.leaf.zzz: there is no such key here; write one of someText, list",
    ),
    (
        {"leaf": {"sometext": 1}},
        "K.leaf.sometext: there is no such key here; did you mean some",
    ),
    (
        {"leaves": [{"kubelet": 1}]},
        "K.leaves[0].kubelet: there is no such key here; write one of someText, listOfTexts",
    ),
    ({"perhaps": {"numbers": 1}}, "K.perhaps.numbers: there is no such key here; write one of"),
    ({SECRET: 1}, "K[44 characters that may be a secret]: there is no such key here; remove it"),
]


@pytest.mark.parametrize(("value", "message"), UNKNOWN)
def test_a_key_that_nobody_knows_is_a_mistake(value: object, message: str) -> None:
    _, left = read(value)
    (said,) = messages(left)
    assert said.startswith(message)


def test_what_may_be_a_secret_is_no_misspelling() -> None:
    assert advise(SECRET, (SECRET[:-2],)) == f"write one of {SECRET[:-2]}"
