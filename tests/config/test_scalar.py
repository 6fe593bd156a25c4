"""What a scalar means, as go-yaml takes it into typed fields."""

from __future__ import annotations

import pytest
from pydantic_core import PydanticCustomError

from kubespan.config.mistake import Place
from kubespan.config.scalar import (
    absent_if_null,
    read_entries,
    read_flag,
    read_items,
    read_number,
    read_text,
)
from kubespan.config.tree import Mapping, Scalar, Sequence
from tests.config.reading import node

PLACE = Place(1, 1)
STR, INT = "tag:yaml.org,2002:str", "tag:yaml.org,2002:int"
LIST = Sequence(PLACE)
MAPPING = Mapping(PLACE)
NULL = Scalar(PLACE, "~")


def plain(text: str, tag: str = "") -> Scalar:
    return Scalar(PLACE, text, tag=tag)


def quoted(text: str) -> Scalar:
    return Scalar(PLACE, text, is_plain=False)


@pytest.mark.parametrize(
    ("scalar", "text"),
    [
        (plain("a"), "a"),
        (plain("1"), "1"),
        (plain("true"), "true"),
        (plain("0x1F"), "0x1F"),
        (plain("null"), ""),
        (quoted("null"), "null"),
        (plain("1", INT), "1"),
    ],
)
def test_text(scalar: Scalar, text: str) -> None:
    assert read_text(scalar) == text


YES = "y Y yes Yes YES on On ON"
NO = "n N no No NO off Off OFF"


@pytest.mark.parametrize(
    ("scalar", "flag"),
    [
        *((form(word), True) for word in YES.split() for form in (plain, quoted)),
        *((form(word), False) for word in NO.split() for form in (plain, quoted)),
        *((plain(word), True) for word in ("true", "True", "TRUE")),
        *((plain(word), False) for word in ("false", "False", "FALSE", "", "~")),
    ],
)
def test_yes_and_no(scalar: Scalar, flag: bool) -> None:
    assert read_flag(scalar) is flag


@pytest.mark.parametrize(
    "value", [plain("maybe"), plain("1"), plain("yEs"), quoted("true"), quoted(""), LIST, MAPPING]
)
def test_neither_yes_nor_no(value: object) -> None:
    with pytest.raises(PydanticCustomError, match=r"^write true or false$"):
        read_flag(value)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("1420", 1420),
        ("+5", 5),
        ("1_420", 1420),
        ("0x58c", 1420),
        ("0o10", 8),
        ("0b11", 3),
    ],
)
def test_numbers(text: str, number: int) -> None:
    assert read_number(plain(text)) == number
    assert read_number(plain(text, INT)) == number


def test_no_number() -> None:
    assert read_number(NULL) is None


@pytest.mark.parametrize(
    "value",
    [
        *(plain(t) for t in ("-1", "1.5", "1e3", "0123", "1:30", "x", "1_", "1__0", "9" * 40)),
        quoted("1420"),
        plain("1420", STR),
        LIST,
        MAPPING,
    ],
)
def test_what_is_no_number(value: object) -> None:
    with pytest.raises(PydanticCustomError, match=r"^write a whole number, without quotes$"):
        read_number(value)


@pytest.mark.parametrize("value", [LIST, MAPPING])
def test_what_is_no_text(value: object) -> None:
    with pytest.raises(PydanticCustomError, match="not a list or a mapping"):
        read_text(value)


@pytest.mark.parametrize("read", [read_text, read_flag, read_number])
def test_a_tag_of_ones_own_is_refused(read: object) -> None:
    assert callable(read)
    with pytest.raises(PydanticCustomError, match="remove the tag '!own'"):
        read(plain("1", "!own"))


def test_lists() -> None:
    assert read_items(node(["a"])) == (Scalar(PLACE, "a"),)
    assert read_items(LIST) == ()
    assert read_items(NULL) is None
    for value in (plain("a"), quoted(""), MAPPING):
        with pytest.raises(PydanticCustomError, match="write a list"):
            read_items(value)


def test_mappings() -> None:
    assert read_entries(node({"a": "b"})) == {"a": Scalar(PLACE, "b")}
    assert read_entries(MAPPING) == {}
    assert read_entries(NULL) is None
    for value in (plain("a"), quoted(""), LIST):
        with pytest.raises(PydanticCustomError, match="write keys with values"):
            read_entries(value)


def test_null_is_as_if_it_were_not_there() -> None:
    assert absent_if_null(NULL) is None
    assert absent_if_null(MAPPING) is MAPPING
