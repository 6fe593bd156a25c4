"""Sealing: known answers, whose blobs open, what is refused before it is opened, any rubbish."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.discovery.hostile import BlobReason, BlobRefused
from kubespan.discovery.seal import (
    MAX_AFFILIATE_SIZE,
    open_affiliate,
    open_bytes,
    open_endpoint,
    seal_affiliate,
    seal_bytes,
    seal_endpoint,
)
from kubespan.model.errors import InternalError
from tests.discovery.refused import refusal
from tests.vectors.reader import read

known = read("discovery")
KEY = bytes.fromhex(known["key"])
OTHER_KEY = bytes(32)
NONCE = bytes.fromhex(known["affiliate"]["nonce"])
MESSAGE = bytes.fromhex(known["affiliate"]["message"])
SEALED = bytes.fromhex(known["affiliate"]["sealed"])
ENDPOINTS = [(bytes.fromhex(e["message"]), bytes.fromhex(e["sealed"])) for e in known["endpoints"]]

keys = st.binary(min_size=32, max_size=32)
nonces = st.binary(min_size=12, max_size=12)


# Affiliates.


def test_known_affiliate() -> None:
    assert seal_affiliate(KEY, NONCE, MESSAGE) == SEALED
    assert open_affiliate(KEY, SEALED) == MESSAGE


@given(keys, nonces, st.binary(max_size=300))
def test_what_is_sealed_opens(key: bytes, nonce: bytes, message: bytes) -> None:
    sealed = seal_affiliate(key, nonce, message)
    assert len(sealed) == len(message) + 28
    assert open_affiliate(key, sealed) == message


def test_the_largest_affiliate_is_as_large_as_the_service_takes() -> None:
    largest = bytes(MAX_AFFILIATE_SIZE)
    assert len(seal_affiliate(KEY, NONCE, largest)) == 2048
    assert open_affiliate(KEY, seal_affiliate(KEY, NONCE, largest)) == largest
    assert refusal(seal_affiliate, KEY, NONCE, largest + b"x") is BlobReason.TOO_LARGE


def test_an_oversized_affiliate_is_not_opened() -> None:
    good = seal_bytes(KEY, NONCE, bytes(MAX_AFFILIATE_SIZE + 1))
    assert refusal(open_affiliate, KEY, good) is BlobReason.TOO_LARGE


@pytest.mark.parametrize("size", [0, 1, 12, 27])
def test_a_short_affiliate_is_not_opened(size: int) -> None:
    assert refusal(open_affiliate, KEY, SEALED[:size]) is BlobReason.TOO_SHORT


@pytest.mark.parametrize("place", [0, 11, 12, 100, len(SEALED) - 1])
def test_a_damaged_affiliate_does_not_open(place: int) -> None:
    damaged = bytearray(SEALED)
    damaged[place] ^= 1
    assert refusal(open_affiliate, KEY, bytes(damaged)) is BlobReason.BAD_TAG


def test_an_affiliate_of_another_cluster_does_not_open() -> None:
    assert refusal(open_affiliate, OTHER_KEY, SEALED) is BlobReason.BAD_TAG


def test_a_context_must_be_the_same_on_both_sides() -> None:
    sealed = seal_bytes(KEY, NONCE, MESSAGE, b"here")
    assert open_bytes(KEY, sealed, b"here") == MESSAGE
    assert refusal(open_bytes, KEY, sealed, b"there") is BlobReason.BAD_TAG
    assert refusal(open_affiliate, KEY, sealed) is BlobReason.BAD_TAG


# Endpoints.


@pytest.mark.parametrize(("message", "sealed"), ENDPOINTS)
def test_known_endpoints(message: bytes, sealed: bytes) -> None:
    assert seal_endpoint(KEY, message) == sealed
    assert open_endpoint(KEY, sealed) == message


@given(keys, st.binary(max_size=31))
def test_what_is_sealed_as_an_endpoint_opens(key: bytes, message: bytes) -> None:
    sealed = seal_endpoint(key, message)
    assert len(sealed) == (16 if len(message) < 16 else 32)
    assert open_endpoint(key, sealed) == message


def test_an_endpoint_has_room_for_31_bytes() -> None:
    assert refusal(seal_endpoint, KEY, bytes(32)) is BlobReason.TOO_LARGE


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        (0, BlobReason.TOO_SHORT),
        (15, BlobReason.TOO_SHORT),
        (17, BlobReason.BAD_PADDING),
        (31, BlobReason.BAD_PADDING),
        (33, BlobReason.TOO_LARGE),
        (48, BlobReason.TOO_LARGE),
    ],
)
def test_an_endpoint_is_one_block_or_two(size: int, reason: BlobReason) -> None:
    assert refusal(open_endpoint, KEY, bytes(size)) is reason


def test_a_length_must_lie_inside() -> None:
    # The second block of a long message is a block of any content, here 30 and zeros.
    block = seal_endpoint(KEY, bytes(15) + b"\x1e" + bytes(15))[16:]
    assert refusal(open_endpoint, KEY, block) is BlobReason.BAD_PADDING
    assert open_endpoint(KEY, block + seal_endpoint(KEY, bytes(31))[16:]) == bytes(30)


def test_what_follows_a_message_must_be_zeros() -> None:
    block = seal_endpoint(KEY, bytes(15) + b"\x0e" + bytes(14) + b"x")[16:]
    assert refusal(open_endpoint, KEY, block) is BlobReason.BAD_PADDING


def test_an_endpoint_of_another_cluster_does_not_open() -> None:
    assert refusal(open_endpoint, OTHER_KEY, ENDPOINTS[0][1]) is BlobReason.BAD_PADDING


# Anything.


@given(st.binary(max_size=100))
def test_rubbish_is_refused_and_nothing_worse(data: bytes) -> None:
    with pytest.raises(BlobRefused):
        open_affiliate(KEY, data)
    try:
        opened = open_endpoint(KEY, data)
    except BlobRefused:
        return
    assert seal_endpoint(KEY, opened) == data[: 16 * (1 + (len(opened) > 15))]


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
def test_a_key_of_another_size_is_our_mistake(size: int) -> None:
    key = bytes(size)
    with pytest.raises(InternalError):
        seal_affiliate(key, NONCE, b"")
    with pytest.raises(InternalError):
        open_affiliate(key, SEALED)
    with pytest.raises(InternalError):
        seal_endpoint(key, b"")
    with pytest.raises(InternalError):
        open_endpoint(key, bytes(16))


@pytest.mark.parametrize("size", [0, 8, 11, 13, 16])
def test_a_nonce_of_another_size_is_our_mistake(size: int) -> None:
    with pytest.raises(InternalError):
        seal_affiliate(KEY, bytes(size), b"")
