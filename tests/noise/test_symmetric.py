"""Two symmetric states agree as long as they see the same, and not a moment longer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.model.drop import DropReason
from kubespan.model.errors import InternalError, ProtocolError
from kubespan.noise.primitives import aead_seal, hash_, kdf1, kdf2, kdf3
from kubespan.noise.symmetric import SymmetricState

CHAINING_KEY = bytes(range(32))
HASH = bytes(range(32, 64))


def start() -> SymmetricState:
    return SymmetricState(CHAINING_KEY, HASH)


def keyed() -> SymmetricState:
    state = start()
    state.mix_key(b"material")
    return state


def values(state: SymmetricState) -> tuple[bytes, bytes]:
    return bytes(state.chaining_key), state.hash


def test_mixing_data_moves_only_the_hash() -> None:
    state = start()
    state.mix_hash(b"data")
    assert values(state) == (CHAINING_KEY, hash_(HASH, b"data"))


def test_mixing_material_moves_only_the_chaining_key() -> None:
    state = keyed()
    assert values(state) == (kdf1(CHAINING_KEY, b"material"), HASH)
    _, key = kdf2(CHAINING_KEY, b"material")
    assert state.encrypt_and_hash(b"field") == aead_seal(key, 0, b"field", HASH)


def test_mixing_a_preshared_key_moves_both() -> None:
    state = start()
    state.mix_key_and_hash(b"psk")
    chaining_key, agreed, key = kdf3(CHAINING_KEY, b"psk")
    moved = hash_(HASH, agreed)
    assert values(state) == (chaining_key, moved)
    assert state.encrypt_and_hash(b"") == aead_seal(key, 0, b"", moved)


@given(plaintext=st.binary(max_size=100))
def test_both_ends_agree_on_a_sealed_field(plaintext: bytes) -> None:
    sender, receiver = keyed(), keyed()
    ciphertext = sender.encrypt_and_hash(plaintext)
    assert receiver.decrypt_and_hash(ciphertext) == plaintext
    assert values(sender) == values(receiver) == (values(keyed())[0], hash_(HASH, ciphertext))
    assert sender.split() == receiver.split() == kdf2(sender.chaining_key, b"")


def test_who_saw_something_else_cannot_open() -> None:
    sender, receiver = keyed(), keyed()
    receiver.mix_hash(b"else")
    before = values(receiver)
    with pytest.raises(ProtocolError) as caught:
        receiver.decrypt_and_hash(sender.encrypt_and_hash(b"field"))
    assert caught.value.reason is DropReason.BAD_AEAD
    assert values(receiver) == before


def test_a_key_seals_one_field() -> None:
    state = keyed()
    state.encrypt_and_hash(b"once")
    with pytest.raises(InternalError):
        state.encrypt_and_hash(b"twice")
    with pytest.raises(InternalError):
        start().encrypt_and_hash(b"without any key")


def test_a_copy_moves_on_alone() -> None:
    state = keyed()
    copy = state.copy()
    before = values(state)
    ciphertext = copy.encrypt_and_hash(b"field")
    copy.mix_key(b"more")
    copy.wipe()
    assert values(state) == before
    assert state.encrypt_and_hash(b"field") == ciphertext


def test_a_wiped_state_holds_nothing() -> None:
    state = keyed()
    memory = state.chaining_key
    state.wipe()
    assert memory is state.chaining_key
    assert values(state) == (bytes(32), bytes(32))
    with pytest.raises(InternalError):
        state.encrypt_and_hash(b"")
