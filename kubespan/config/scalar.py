"""What a scalar means where text, a yes or no, a number or a list is wanted: as Talos takes it.

Talos decodes into typed Go fields, and go-yaml then reads more than YAML 1.2 says: a number is good
as text, `yes` and `off` are good as a yes or no, even in quotes, and null is the empty value.
Source: go.yaml.in/yaml, decode of scalars into string, bool and uint32.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeAlias

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from kubespan.config.mistake import quote
from kubespan.config.tree import Mapping, Scalar, Sequence

CORE: Final = "tag:yaml.org,2002:"
TAGS: Final = {"", *(CORE + name for name in ("str", "bool", "int", "float", "null"))}

YES: Final = frozenset({"y", "Y", "yes", "Yes", "YES", "on", "On", "ON"})
NO: Final = frozenset({"n", "N", "no", "No", "NO", "off", "Off", "OFF"})
PLAIN_YES: Final = frozenset({"true", "True", "TRUE"})
PLAIN_NO: Final = frozenset({"false", "False", "FALSE"})

_NUMBER: Final = re.compile(
    r"\+?(0|[1-9](_?[0-9]){0,18}|0x[0-9a-fA-F]{1,16}|0o[0-7]{1,21}|0b[01]{1,64})"
)


def read_text(value: object) -> object:
    """Return a scalar as text."""
    if isinstance(value, Scalar):
        _check_tag(value)
        return "" if value.is_null else value.text
    raise wrong("write a word or a number here, not a list or a mapping")


def read_flag(value: object) -> object:
    """Return a scalar as a yes or no."""
    if isinstance(value, Scalar):
        _check_tag(value)
        if value.is_null:
            return False
        if value.text in YES or (value.is_plain and value.text in PLAIN_YES):
            return True
        if value.text in NO or (value.is_plain and value.text in PLAIN_NO):
            return False
    raise wrong("write true or false")


def read_number(value: object) -> object:
    """Return a scalar as a whole number from 0, None where there is no value."""
    if isinstance(value, Scalar):
        _check_tag(value)
        if value.is_null:
            return None
        if value.is_plain and value.tag != f"{CORE}str" and _NUMBER.fullmatch(value.text):
            return int(value.text, 0)
    raise wrong("write a whole number, without quotes")


def read_items(value: object) -> object:
    """Return the nodes of a list, None where there is no value."""
    if isinstance(value, Sequence):
        return value.items
    if isinstance(value, Scalar) and value.is_null:
        return None
    raise wrong("write a list: each item in a line of its own, after a dash")


def read_entries(value: object) -> object:
    """Return the nodes of a mapping by their keys, None where there is no value."""
    if isinstance(value, Mapping):
        return {key: entry.value for key, entry in value.entries.items()}
    if isinstance(value, Scalar) and value.is_null:
        return None
    raise wrong("write keys with values here, each in a line of its own")


def absent_if_null(value: object) -> object:
    """Return None for null, anything else as it is: null is as if the key were not there."""
    return None if isinstance(value, Scalar) and value.is_null else value


def wrong(message: str) -> PydanticCustomError:
    """Return the error that says what to write instead."""
    return PydanticCustomError("wrong", "{message}", {"message": message})


def _check_tag(value: Scalar) -> None:
    if value.tag not in TAGS:
        raise wrong(f"remove the tag {quote(value.tag)}")


Text: TypeAlias = Annotated[str, BeforeValidator(read_text)]
Flag: TypeAlias = Annotated[bool, BeforeValidator(read_flag)]
Number: TypeAlias = Annotated[int | None, BeforeValidator(read_number)]
Texts: TypeAlias = Annotated[tuple[Text, ...] | None, BeforeValidator(read_items)]
TextByKey: TypeAlias = Annotated[dict[str, Text] | None, BeforeValidator(read_entries)]
