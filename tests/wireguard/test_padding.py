"""Padding: the rule near the MTU, and what holds of every length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.wireguard.padding import padded_length


@pytest.mark.parametrize(
    ("length", "mtu", "expected"),
    [
        (0, 1420, 0),
        (1, 1420, 16),
        (16, 1420, 16),
        (84, 1420, 96),
        (1408, 1420, 1408),
        (1409, 1420, 1409),  # 1424 would be more than the MTU
        (1420, 1420, 1420),
        (1297, 1300, 1297),  # the kernel's test of a route whose MTU is smaller
        (1280, 1280, 1280),
        (1273, 1280, 1280),
        (1421, 1420, 1436),  # one full packet and a rest of 1
        (2 * 1420, 1420, 2 * 1420),
        (65535, 1420, 65535 + (-(65535 % 1420) % 16)),
        (1409, 0, 1424),
        (65535, 0, 65536),
        (5, 8, 5),
    ],
)
def test_table(length: int, mtu: int, expected: int) -> None:
    assert padded_length(length, mtu) == expected


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_pads_less_than_a_block_and_never_past_the_mtu(length: int, mtu: int) -> None:
    padded = padded_length(length, mtu)
    assert 0 <= padded - length < 16
    if length <= mtu:
        assert padded <= mtu


@given(st.integers(0, 65535))
def test_without_an_mtu_every_length_is_a_whole_number_of_blocks(length: int) -> None:
    assert padded_length(length, 0) % 16 == 0
