"""What the AEAD benchmark makes of the times it is told."""

from __future__ import annotations

from bench import aead

LINES = (
    "libcrypto seal 64 8 100.0 104.0 200.0",
    "avx2 seal 64 8 50.0 26.0 1.0",
    "libcrypto open 64 8 100.0 100.0 100.0",
    "avx2 open 64 8 200.0 200.0 200.0",
)


def test_only_rounds_count_in_which_the_reference_was_quiet() -> None:
    assert aead.quiet(aead.parse(LINES[0])) == [0, 1]


def test_ratios_are_taken_within_rounds() -> None:
    first, second = aead.rows(map(aead.parse, LINES))
    assert " ".join(first.split()) == "seal 64 b8 | 102.0 | 38.0 3.00x | 2 of 3"
    assert " ".join(second.split()) == "open 64 b8 | 100.0 | 200.0 0.50x | 3 of 3"


def test_columns_are_named_in_order() -> None:
    assert aead.heading(map(aead.parse, LINES)).split(" | ")[1].strip() == "libcrypto"
