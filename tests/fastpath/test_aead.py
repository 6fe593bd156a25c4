"""Authenticated encryption in batches: every provider against published vectors and libraries."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
)

from kubespan import _fastpath
from kubespan.fastpath import native
from kubespan.model.errors import ConfigError
from tests.vectors.reader import read

KEY = bytes(range(32))
P = 2**130 - 5
MOST_PACKETS = 1464
"""As many as a lane ever hands over at once: MAX_PACKETS of the native module."""


@pytest.fixture(params=native.PROVIDERS, scope="module")
def aead(request: pytest.FixtureRequest) -> Iterator[Any]:
    before = native.choose_provider("")
    if not native.use_provider(request.param):
        pytest.skip(f"this machine cannot run {request.param}")
    assert _fastpath.provider() == request.param
    yield _fastpath.Aead()
    native.use_provider(before)


def nonce(counter: int) -> bytes:
    return bytes(4) + counter.to_bytes(8, "little")


def seal_one(key: bytes, packet: bytes, counter: int) -> bytes:
    return crypto_aead_chacha20poly1305_ietf_encrypt(packet, b"", nonce(counter), key)


batches = st.lists(
    st.tuples(st.binary(max_size=300), st.integers(0, 2**64 - 1)), min_size=1, max_size=70
)


# ------------------------------------------------------------------------------ published vectors


def test_seals_as_published(aead: Any) -> None:
    for vector in read("chacha20_poly1305"):
        key, packet = bytes.fromhex(vector["key"]), bytes.fromhex(vector["plaintext"])
        head, counter = split(bytes.fromhex(vector["nonce"]))
        [sealed] = aead.seal(key, [packet], [counter], head)
        assert sealed[:-16].hex() == vector["ciphertext"].lower(), vector["source"]
        assert vector["tag"] in (None, sealed[-16:].hex()), vector["source"]


def test_opens_what_was_published(aead: Any) -> None:
    vectors = [vector for vector in read("chacha20_poly1305") if vector["tag"]]
    assert len(vectors) > 40
    for vector in vectors:
        key = bytes.fromhex(vector["key"])
        sealed = bytes.fromhex(vector["ciphertext"] + vector["tag"])
        head, counter = split(bytes.fromhex(vector["nonce"]))
        assert aead.open(key, [sealed], [counter], head) == [bytes.fromhex(vector["plaintext"])]
        assert aead.open(key, [sealed], [counter], head ^ 1) == [None]


def split(value: bytes) -> tuple[int, int]:
    return int.from_bytes(value[:4], "little"), int.from_bytes(value[4:], "little")


# ---------------------------------------------------------------------- beside the two libraries


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(key=st.binary(min_size=32, max_size=32), batch=batches)
def test_seals_as_pynacl_does(aead: Any, key: bytes, batch: list[tuple[bytes, int]]) -> None:
    packets, counters = [p for p, _ in batch], [c for _, c in batch]
    expected = [seal_one(key, packet, counter) for packet, counter in batch]
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


@pytest.mark.parametrize("seed", range(20))
def test_seals_as_libcrypto_does(aead: Any, seed: int) -> None:
    chance = Random(seed)
    key = chance.randbytes(32)
    library = ChaCha20Poly1305(key)
    lengths = chance.choice([range(200), range(1400, 1440), range(9001), (0, 64, 1420)])
    packets = [chance.randbytes(chance.choice(lengths)) for _ in range(chance.randint(1, 64))]
    counters = [chance.getrandbits(64) for _ in packets]
    head = chance.getrandbits(32)
    expected = [
        library.encrypt(head.to_bytes(4, "little") + nonce(counter)[4:], packet, None)
        for packet, counter in zip(packets, counters, strict=True)
    ]
    assert aead.seal(key, packets, counters, head) == expected
    assert aead.open(key, expected, counters, head) == packets


@pytest.mark.parametrize("length", [*range(130), 255, 256, 257, 1023, 1024, 1025, 2047, 2049])
def test_every_length_beside_longer_and_shorter_ones(aead: Any, length: int) -> None:
    packets = [bytes([i]) * n for i, n in enumerate((length, 1420, length + 1, 0, length))]
    expected = [seal_one(KEY, packet, i) for i, packet in enumerate(packets)]
    assert aead.seal(KEY, packets, list(range(5))) == expected
    assert aead.open(KEY, expected, list(range(5))) == packets


@pytest.mark.parametrize("length", [*range(0, 1200, 7), 1420, 8920])
def test_every_length_alone(aead: Any, length: int) -> None:
    packet = bytes(i % 251 for i in range(length))
    expected = seal_one(KEY, packet, length)
    assert aead.seal(KEY, [packet], [length]) == [expected]
    assert aead.open(KEY, [expected], [length]) == [packet]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 45, 64, MOST_PACKETS])
def test_every_size_of_a_batch(aead: Any, count: int) -> None:
    packets = [bytes([i % 256]) * (i % 97) for i in range(count)]
    expected = [seal_one(KEY, packet, i) for i, packet in enumerate(packets)]
    assert aead.seal(KEY, packets, list(range(count))) == expected
    assert aead.open(KEY, expected, list(range(count))) == packets


def test_full_packets(aead: Any) -> None:
    packets = [bytes([i]) * size for i, size in enumerate((1420, 1420, 8920, 65535, 0, 1))]
    counters = list(range(2**32 - 3, 2**32 + 3))
    sealed = aead.seal(KEY, packets, counters)
    for packet, counter, ciphertext in zip(packets, counters, sealed, strict=True):
        assert (
            crypto_aead_chacha20poly1305_ietf_decrypt(ciphertext, b"", nonce(counter), KEY)
            == packet
        )


# ------------------------------------------------------------------------- the last step of a tag


def one_time_key(counter: int) -> tuple[int, int]:
    """r and s, as RFC 8439 section 2.6 makes them."""
    block = Cipher(ChaCha20(KEY, bytes(4) + nonce(counter)), None).encryptor().update(bytes(32))
    r = int.from_bytes(block[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    return r, int.from_bytes(block[16:], "little")


def sealed_with_sum(total: int, before: int) -> tuple[bytes, int]:
    """Ciphertext whose sum modulo 2^130 - 5 is `total`, with its tag; and its counter.

    The last of its blocks decides; there are as many of zero before it as asked.
    """
    for counter in range(1000):
        r, s = one_time_key(counter)
        inverse, lengths = pow(r, -1, P), (16 * (before + 1) << 64) + 2**128
        known = sum(2**128 * pow(r, i, P) for i in range(1, before + 1))
        block = ((total * inverse - lengths) * inverse - known) % P
        if block >> 128 == 1:
            tag = (total + s) % 2**128
            last = (block % 2**128).to_bytes(16, "little")
            return bytes(16 * before) + last + tag.to_bytes(16, "little"), counter
    raise AssertionError("one in four counters will do")


@pytest.mark.parametrize("before", [0, 88])
@pytest.mark.parametrize(
    "total",
    [*range(6), *range(P - 6, P), *(2**n + d for n in (44, 64, 88, 128, 129) for d in (-1, 0, 1))],
)
def test_sums_at_the_edges_of_their_limbs(aead: Any, total: int, before: int) -> None:
    sealed, counter = sealed_with_sum(total, before)
    packet = crypto_aead_chacha20poly1305_ietf_decrypt(sealed, b"", nonce(counter), KEY)
    assert aead.seal(KEY, [packet], [counter]) == [sealed]
    assert aead.open(KEY, [sealed] * 8, [counter] * 8) == [packet] * 8


def test_carries_through_every_limb(aead: Any) -> None:
    """Ciphertext of ones is where the sums are greatest."""
    key, length = b"\xff" * 32, 4096
    pad = seal_one(key, bytes(length), 7)[:-16]
    packet = bytes(byte ^ 0xFF for byte in pad)
    expected = seal_one(key, packet, 7)
    assert expected[:-16] == b"\xff" * length
    for count in (1, 8):
        assert aead.seal(key, [packet] * count, [7] * count) == [expected] * count


# ----------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("length", range(16))
def test_shorter_than_a_tag_is_refused(aead: Any, length: int) -> None:
    sealed = seal_one(KEY, b"beside", 1)
    assert aead.open(KEY, [bytes(length), sealed], [0, 1]) == [None, b"beside"]


def test_misuse_is_named(aead: Any) -> None:
    with pytest.raises(ValueError, match="32-byte key"):
        aead.seal(b"short", [b""], [0])
    with pytest.raises(ValueError, match="a counter for each"):
        aead.seal(KEY, [b"", b""], [0])


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(ConfigError, match="write avx512, avx2, libcrypto, portable or libsodium"):
        native.choose_provider("rot13")


def test_a_provider_the_machine_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fastpath, "provider", lambda: "")
    monkeypatch.setattr(_fastpath, "use", lambda _: False)
    with pytest.raises(ConfigError, match="KUBESPAN_AEAD=avx512: this machine cannot run it"):
        native.choose_provider("avx512")


def test_the_fastest_at_hand_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def use(name: str) -> bool:
        asked.append(name)
        return name == "libcrypto"

    monkeypatch.setattr(_fastpath, "provider", lambda: "")
    monkeypatch.setattr(_fastpath, "use", use)
    native.choose_provider("")
    assert asked == ["avx512", "avx2", "libcrypto"]
