"""Talos's base62: how the bytes of a node's id are written as letters and digits.

Not base62 as numbers are written. The bytes are a big-endian string of bits, read from its end in
symbols of six bits; the four values that 62 symbols leave over are avoided by writing only five
bits there. The layout is that of jxskiss/base62, which Talos uses.
"""

from __future__ import annotations

from string import ascii_lowercase, ascii_uppercase, digits
from typing import Final

from kubespan.model.errors import ConfigError

ALPHABET: Final = ascii_uppercase + ascii_lowercase + digits
_VALUES: Final = {symbol: value for value, symbol in enumerate(ALPHABET)}

_SHORT: Final = 0b11110
"""A symbol with all of these bits stands for five bits, not six: six could say 62 or 63."""


def encode(raw: bytes) -> str:
    """Write bytes as text: for 32 bytes mostly 43 to 45 characters, 52 at the most."""
    value, left = int.from_bytes(raw, "big"), 8 * len(raw)
    symbols = []
    while left > 0:
        symbol, width = value & 0b111111, 6
        if symbol & _SHORT == _SHORT and (symbol > 0b11111 or left > 6):
            symbol, width = symbol & 0b11111, 5
        symbols.append(ALPHABET[symbol])
        value >>= width
        left -= width
    return "".join(symbols)


def decode(text: str) -> bytes:
    """Read what `encode` wrote. Raises ConfigError for a character that it never writes.

    Several texts may mean the same bytes; `encode` writes one of them.
    """
    value = width = end = 0
    for character in text:
        symbol = _VALUES.get(character)
        if symbol is None:
            raise ConfigError(f"{character!r} is none of the characters A-Z, a-z and 0-9 of an id")
        value |= symbol << width
        # The last symbol says only as much as its own bits: what is above them is zero anyway.
        end = width + symbol.bit_length()
        width += 5 if symbol & _SHORT == _SHORT else 6
    return value.to_bytes((end + 7) // 8, "big")
