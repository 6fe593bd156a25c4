"""Talos's base62: its own vectors, ours, and back again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.model.base62 import ALPHABET, decode, encode
from kubespan.model.errors import ConfigError

# The first was published by Talos; the others were computed from the description, independently.
VECTORS = [
    (
        "be871ac0d0dd31fa4caca753b0f3f1b2970f5c19dfbde7dd7932e37cb2eeea2c",
        "sou7yy34ykX3n373Zw1DXKb8zD7UnyKT6HT3QDsGH6L",
    ),
    (bytes(range(32)).hex(), "fwjO4YDNyAjLsoCKmQiIg4BHaghFUIBEOwgCIYABCAA"),
    ("00" * 32, "A" * 43),
    ("ff" * 32, "f" * 51 + "B"),
    (bytes(range(0xFF, 0xDF, -1)).hex(), "gHu4jTeyNf5onu6rze2df7wHv8zTf6tf94nve3nf97ffD"),
    ("", ""),
]


@pytest.mark.parametrize(("raw", "text"), VECTORS)
def test_vectors(raw: str, text: str) -> None:
    assert encode(bytes.fromhex(raw)) == text
    assert decode(text) == bytes.fromhex(raw)


@given(raw=st.binary(max_size=64))
def test_what_is_written_is_read_again(raw: bytes) -> None:
    text = encode(raw)
    assert set(text) <= set(ALPHABET)
    assert decode(text) == raw


@given(raw=st.binary(min_size=32, max_size=32))
def test_an_id_is_of_moderate_length(raw: bytes) -> None:
    assert 43 <= len(encode(raw)) <= 52


def test_every_pair_of_bytes_comes_back() -> None:
    # Where five bits are written, and where the end is, is a matter of two neighbours.
    for number in range(2**16):
        raw = number.to_bytes(2, "big")
        assert decode(encode(raw)) == raw


@given(text=st.text(ALPHABET))
def test_any_text_of_the_alphabet_means_something(text: str) -> None:
    raw = decode(text)
    assert decode(encode(raw)) == raw


@pytest.mark.parametrize("text", ["-", "abc_", "a b", "sou7\n", "\N{ARABIC-INDIC DIGIT ONE}", "é"])
def test_other_characters_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is none of the characters"):
        decode(text)
