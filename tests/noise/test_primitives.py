"""The primitives give the published answers, and refuse what does not open."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.model.drop import DropReason
from kubespan.model.errors import ProtocolError
from kubespan.model.keys import PrivateKey, PublicKey
from kubespan.noise.primitives import (
    aead_open,
    aead_seal,
    dh,
    hash_,
    hmac_,
    kdf1,
    kdf2,
    kdf3,
    mac,
    xaead_open,
    xaead_seal,
)
from tests.vectors.reader import read

KEY = bytes(range(32))
NONCE = bytes(range(24))
handshake = read("handshake")
keys = st.binary(min_size=32, max_size=32)


def test_hash_gives_the_answer_of_its_rfc() -> None:
    """RFC 7693 appendix B."""
    answer = "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"
    assert hash_(b"abc").hex() == answer
    assert hash_(b"a", bytearray(b"b"), b"c").hex() == answer


def test_hash_starts_every_handshake_as_the_specification_says() -> None:
    chaining_key = hash_(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")
    start = hash_(chaining_key, b"WireGuard v1 zx2c4 Jason@zx2c4.com")
    assert chaining_key.hex() == "60e26daef327efc02ec335e2a025d2d016eb4206f87277f52d38d1988b78cd36"
    assert start.hex() == "2211b361081ac566691243db458ad5322d9c6c662293e8b70ee19c65ba079ef3"


def test_mac_is_keyed_and_short() -> None:
    initiation = bytes.fromhex(handshake["initiation"])
    cookie = bytes.fromhex(handshake["cookie"])
    assert mac(cookie, initiation[:-16]).hex() == handshake["mac2_of_initiation"]


@given(key=st.binary(max_size=64), data=st.binary())
def test_hmac_is_that_of_the_library(key: bytes, data: bytes) -> None:
    expected = hmac.digest(key, data, "blake2s")
    assert hmac_(key, data) == hmac_(bytearray(key), bytearray(data)) == expected


@pytest.mark.parametrize("answer", read("kdf"))
def test_kdf_gives_the_known_answers(answer: dict[str, str]) -> None:
    key, material = bytes.fromhex(answer["key"]), bytes.fromhex(answer["input"])
    t1, t2, t3 = (bytes.fromhex(answer[name]) for name in ("t1", "t2", "t3"))
    assert kdf3(key, material) == (t1, t2, t3)
    assert kdf2(key, material) == (t1, t2)
    assert kdf1(key, material) == t1


def test_dh_gives_the_answer_of_its_rfc() -> None:
    """RFC 7748 §6.1."""
    alice = PrivateKey.from_hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    bob = PrivateKey.from_hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    answer = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    assert dh(alice, bob.public_key).hex() == dh(bob, alice.public_key).hex() == answer


@pytest.mark.parametrize("point", read("low_order_points"))
@pytest.mark.parametrize("high_bit", [0x00, 0x80], ids=["", "high bit"])
def test_dh_refuses_points_of_low_order(point: str, high_bit: int) -> None:
    """X25519 ignores the highest bit, so each of them has two spellings."""
    raw = bytearray.fromhex(point)
    raw[31] |= high_bit
    with pytest.raises(ProtocolError) as caught:
        dh(PrivateKey(KEY), PublicKey(bytes(raw)))
    assert caught.value.reason is DropReason.LOW_ORDER_POINT


@pytest.mark.parametrize(
    ("message", "key"), [("keepalive", "key_from_initiator"), ("data", "key_from_responder")]
)
def test_aead_seals_and_opens_the_known_transport_messages(message: str, key: str) -> None:
    known = handshake[message]
    secret, packet = bytes.fromhex(handshake[key]), bytes.fromhex(known["packet"])
    ciphertext = bytes.fromhex(known["datagram"])[16:]
    assert aead_seal(secret, known["counter"], packet, b"") == ciphertext
    assert aead_open(secret, known["counter"], ciphertext, b"") == packet


def test_xaead_seals_and_opens_the_known_cookie() -> None:
    known = handshake["cookie_reply"]
    public = bytes.fromhex(handshake["keys"]["responder_static"]["public"])
    key, nonce = hash_(b"cookie--", public), bytes.fromhex(known["nonce"])
    mac1, cookie = (
        bytes.fromhex(handshake["initiation"])[116:132],
        bytes.fromhex(handshake["cookie"]),
    )
    sealed = bytes.fromhex(known["datagram"])[32:]
    assert xaead_seal(key, nonce, cookie, mac1) == sealed
    assert xaead_open(key, nonce, sealed, mac1) == cookie


@given(plaintext=st.binary(), data=st.binary(), counter=st.integers(0, 2**64 - 1))
def test_opening_is_the_inverse_of_sealing(plaintext: bytes, data: bytes, counter: int) -> None:
    sealed = aead_seal(KEY, counter, plaintext, data)
    assert len(sealed) == len(plaintext) + 16
    assert aead_open(KEY, counter, sealed, data) == plaintext
    assert xaead_open(KEY, NONCE, xaead_seal(KEY, NONCE, plaintext, data), data) == plaintext


@given(ciphertext=st.binary(max_size=64), data=st.binary(max_size=8))
def test_what_was_not_sealed_does_not_open(ciphertext: bytes, data: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        aead_open(KEY, 0, ciphertext, data)
    assert caught.value.reason is DropReason.BAD_AEAD
    with pytest.raises(ProtocolError) as caught:
        xaead_open(KEY, NONCE, ciphertext, data)
    assert caught.value.reason is DropReason.BAD_AEAD


def test_every_argument_counts_in_opening() -> None:
    sealed = aead_seal(KEY, 1, b"plain", b"data")
    assert aead_open(KEY, 1, sealed, b"data") == b"plain"
    for key, counter, data in (
        (bytes(32), 1, b"data"),
        (KEY, 2, b"data"),
        (KEY, 1 + 2**32, b"data"),
        (KEY, 1, b"date"),
    ):
        with pytest.raises(ProtocolError):
            aead_open(key, counter, sealed, data)
