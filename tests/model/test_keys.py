"""Keys: read and written exactly, clamped, hidden, wiped."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.model.errors import ConfigError, InternalError
from kubespan.model.keys import PresharedKey, PrivateKey, PublicKey
from tests.vectors.reader import read

KINDS = (PublicKey, PrivateKey, PresharedKey)
RAW = bytes(range(0x40, 0x60))
raw_keys = st.binary(min_size=32, max_size=32)
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize("name", ["initiator_static", "responder_static", "initiator_ephemeral"])
def test_public_keys_are_derived(name: str) -> None:
    pair = read("handshake")["keys"][name]
    assert PrivateKey.from_hex(pair["private"]).public_key == PublicKey.from_hex(pair["public"])


@every_kind
@given(raw=raw_keys)
def test_text_is_the_inverse_of_reading(kind: Any, raw: bytes) -> None:
    key = kind(raw)
    assert kind.from_hex(key.hex()) == key
    assert kind.from_hex(key.hex().upper()) == key
    assert kind.from_base64(key.base64()) == key
    assert bytes.fromhex(key.hex()) == key.raw


def test_base64_is_what_wg_prints() -> None:
    assert PublicKey(bytes(32)).base64() == "A" * 43 + "="


@given(raw=raw_keys)
def test_a_private_key_is_clamped(raw: bytes) -> None:
    clamped = PrivateKey(raw).raw
    assert clamped[0] & 0b111 == 0
    assert clamped[31] >> 6 == 0b01
    assert clamped[1:31] == raw[1:31]
    assert PrivateKey(clamped).raw == clamped


@every_kind
@pytest.mark.parametrize(
    "text",
    [
        "",
        "00" * 31,
        "00" * 33,
        "0" * 63,
        "zz" + "00" * 31,
        " " + "00" * 32,
        "00 " * 32,
        "\N{ARABIC-INDIC DIGIT ONE}" * 64,
    ],
)
def test_bad_hex_says_what_to_write(kind: Any, text: str) -> None:
    with pytest.raises(ConfigError, match="is 64 hexadecimal digits"):
        kind.from_hex(text)


@every_kind
@pytest.mark.parametrize(
    "text",
    [
        "",
        "A" * 43,
        "A" * 44,
        "A" * 42 + "==",
        "A" * 42 + "B=",  # the same 32 bytes, spelled with a bit that means nothing
        " " + "A" * 43 + "=",
        "A" * 43 + "=\n",
        "-" * 43 + "=",
        "\N{ARABIC-INDIC DIGIT ONE}" * 44,
    ],
)
def test_bad_base64_says_what_to_write(kind: Any, text: str) -> None:
    with pytest.raises(ConfigError, match="is 44 base64 characters"):
        kind.from_base64(text)


@every_kind
def test_a_refused_text_is_not_repeated(kind: Any) -> None:
    almost = RAW.hex()[:-1]
    with pytest.raises(ConfigError) as caught:
        kind.from_hex(almost)
    assert almost[:8] not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(ConfigError) as caught:
        kind.from_base64(kind(RAW).base64()[:-1])
    assert kind(RAW).base64()[:8] not in str(caught.value)


@every_kind
@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_is_32_bytes(kind: Any, size: int) -> None:
    with pytest.raises(InternalError):
        kind(bytes(size))


@pytest.mark.parametrize("kind", [PrivateKey, PresharedKey])
def test_a_secret_does_not_print_itself(kind: Any) -> None:
    secret = kind(RAW)
    for text in (repr(secret), str(secret), f"{secret}", f"{[secret]}"):
        assert f"{kind.__name__}(hidden)" in text
        assert secret.hex()[8:40] not in text
        assert secret.base64()[8:32] not in text


def test_a_public_key_prints_itself_as_base64() -> None:
    assert repr(PublicKey(RAW)) == str(PublicKey(RAW)) == PublicKey(RAW).base64()


@pytest.mark.parametrize("kind", [PrivateKey, PresharedKey])
def test_a_wiped_secret_is_gone_from_memory(kind: Any) -> None:
    secret = kind(RAW)
    memory = secret._secret
    secret.wipe()
    assert memory is secret._secret
    assert memory == bytes(32)


def test_a_wiped_private_key_cannot_be_used() -> None:
    key = PrivateKey(RAW)
    public_key = key.public_key
    key.wipe()
    assert key.public_key == public_key
    for use in (lambda: key.raw, key.hex, key.base64):
        with pytest.raises(InternalError):
            use()


def test_no_preshared_key_is_all_zero() -> None:
    assert PresharedKey() == PresharedKey(bytes(32))
    assert PresharedKey().is_zero
    assert not PresharedKey(RAW).is_zero


@given(one=raw_keys, other=raw_keys)
def test_secrets_are_equal_when_their_bytes_are(one: bytes, other: bytes) -> None:
    assert (PresharedKey(one) == PresharedKey(other)) == (one == other)
    assert (PrivateKey(one) == PrivateKey(other)) == (PrivateKey(one).raw == PrivateKey(other).raw)


def test_kinds_are_never_equal() -> None:
    keys = [kind(RAW) for kind in KINDS]
    assert all(one != other for one in keys for other in keys if one is not other)


def test_only_a_public_key_is_a_dictionary_key() -> None:
    assert {PublicKey(RAW): "peer"}[PublicKey(RAW)] == "peer"
    for secret in (PrivateKey(RAW), PresharedKey(RAW)):
        with pytest.raises(TypeError):
            hash(secret)
