"""Authenticated encryption in batches: every provider against published vectors and PyNaCl."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
)

from kubespan import _fastpath
from kubespan.fastpath import native
from kubespan.model.errors import ConfigError

KEY = bytes(range(32))


def choose(name: str) -> None:
    if name == "libsodium":
        _fastpath.use_libsodium(native._libsodium("encrypt"), native._libsodium("decrypt"))
    elif not _fastpath.use_libcrypto():
        pytest.skip("this machine has no libcrypto")


@pytest.fixture(params=["libcrypto", "libsodium"], scope="module")
def aead(request: pytest.FixtureRequest) -> Iterator[Any]:
    before = native.choose_provider("")
    choose(request.param)
    assert _fastpath.provider() == request.param
    yield _fastpath.Aead()
    choose(before)


def nonce(counter: int) -> bytes:
    return bytes(4) + counter.to_bytes(8, "little")


batches = st.lists(
    st.tuples(st.binary(max_size=300), st.integers(0, 2**64 - 1)), min_size=1, max_size=20
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(key=st.binary(min_size=32, max_size=32), batch=batches)
def test_seals_as_pynacl_does(aead: Any, key: bytes, batch: list[tuple[bytes, int]]) -> None:
    packets, counters = [p for p, _ in batch], [c for _, c in batch]
    expected = [
        crypto_aead_chacha20poly1305_ietf_encrypt(packet, b"", nonce(counter), key)
        for packet, counter in batch
    ]
    assert aead.seal(key, packets, counters) == expected
    assert aead.open(key, expected, counters) == packets


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(batch=batches, data=st.data())
def test_one_flipped_bit_refuses_that_packet_alone(
    aead: Any, batch: list[tuple[bytes, int]], data: st.DataObject
) -> None:
    packets, counters = [p for p, _ in batch], [c for _, c in batch]
    sealed = aead.seal(KEY, packets, counters)
    victim = data.draw(st.integers(0, len(batch) - 1))
    bit = data.draw(st.integers(0, len(sealed[victim]) * 8 - 1))
    damaged = bytearray(sealed[victim])
    damaged[bit // 8] ^= 1 << bit % 8
    sealed[victim] = bytes(damaged)
    expected = [None if i == victim else packet for i, packet in enumerate(packets)]
    assert aead.open(KEY, sealed, counters) == expected


def test_full_packets(aead: Any) -> None:
    packets = [bytes([i]) * size for i, size in enumerate((1420, 1420, 8920, 65535, 0, 1))]
    counters = list(range(2**32 - 3, 2**32 + 3))
    sealed = aead.seal(KEY, packets, counters)
    for packet, counter, ciphertext in zip(packets, counters, sealed, strict=True):
        assert (
            crypto_aead_chacha20poly1305_ietf_decrypt(ciphertext, b"", nonce(counter), KEY)
            == packet
        )


@pytest.mark.parametrize("length", range(16))
def test_shorter_than_a_tag_is_refused(aead: Any, length: int) -> None:
    assert aead.open(KEY, [bytes(length)], [0]) == [None]


def test_misuse_is_named(aead: Any) -> None:
    with pytest.raises(ValueError, match="32-byte key"):
        aead.seal(b"short", [b""], [0])
    with pytest.raises(ValueError, match="a counter for each"):
        aead.seal(KEY, [b"", b""], [0])


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(ConfigError, match="write libcrypto or libsodium"):
        native.choose_provider("rot13")
