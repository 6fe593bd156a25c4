"""One session's keys: a known answer, order, replay, limits, and that nothing bad raises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.model.constants import REJECT_AFTER_MESSAGES
from kubespan.model.drop import DropReason
from kubespan.model.errors import InternalError
from kubespan.noise.messages import Transport
from kubespan.wireguard.keypair import PureKeypair
from tests.vectors.reader import read
from tests.wireguard.twins import both_ends


def test_known_answers() -> None:
    known = read("handshake")
    session = PureKeypair(
        send_key=bytes.fromhex(known["key_from_initiator"]),
        receive_key=bytes.fromhex(known["key_from_responder"]),
        local_index=0x11223344,
        remote_index=0x55667788,
        is_initiator=True,
        created_at=0.0,
    )
    assert session.seal(b"").hex() == known["keepalive"]["datagram"]
    opened = session.open(bytes.fromhex(known["data"]["datagram"]))
    assert opened == bytes.fromhex(known["data"]["packet"])


def test_both_ways() -> None:
    one, other = both_ends()
    assert other.open(one.seal(b"question")) == b"question"
    assert one.open(other.seal(b"answer")) == b"answer"


def test_counters_go_up_by_one() -> None:
    one, _ = both_ends()
    counters = [Transport.parse(one.seal(b"")).counter for _ in range(3)]
    assert counters == [0, 1, 2]
    assert one.send_counter == 3


def test_order_does_not_matter_but_repetition_does() -> None:
    one, other = both_ends()
    datagrams = [one.seal(bytes([number])) for number in range(5)]
    assert [other.open(datagram) for datagram in reversed(datagrams)] == [
        bytes([number]) for number in (4, 3, 2, 1, 0)
    ]
    assert {other.open(datagram) for datagram in datagrams} == {DropReason.REPLAYED}


def test_a_forged_counter_does_not_move_the_window() -> None:
    one, other = both_ends()
    genuine = one.seal(b"packet")
    far_ahead = genuine[:8] + (2**40).to_bytes(8, "little") + genuine[16:]
    assert other.open(far_ahead) == DropReason.BAD_TAG
    assert other.open(genuine) == b"packet"


@pytest.mark.parametrize("counter", [2**32 - 1, 2**32, REJECT_AFTER_MESSAGES - 1])
def test_counters_use_all_their_bits(counter: int) -> None:
    one, other = both_ends()
    one.send_counter = counter
    datagram = one.seal(b"late")
    assert Transport.parse(datagram).counter == counter
    assert other.open(datagram) == b"late"
    assert other.open(datagram) == DropReason.REPLAYED


def test_the_last_counter_is_the_last() -> None:
    one, _ = both_ends()
    one.send_counter = REJECT_AFTER_MESSAGES
    with pytest.raises(InternalError):
        one.seal(b"")
    assert one.send_counter == REJECT_AFTER_MESSAGES


def test_a_wiped_session_does_nothing() -> None:
    one, other = both_ends()
    datagram = one.seal(b"")
    for session in (one, other):
        session.wipe()
    assert other.open(datagram) == DropReason.UNKNOWN_INDEX
    with pytest.raises(InternalError):
        one.seal(b"")
    assert not any(one._send_key + one._receive_key)


@given(st.binary(max_size=64), st.sampled_from((b"", b"\4\0\0\0")))
def test_no_datagram_raises(data: bytes, start: bytes) -> None:
    _, other = both_ends()
    assert other.open(start + data) in {DropReason.MALFORMED, DropReason.BAD_TAG}


@given(st.integers(0, 47), st.integers(1, 255))
def test_no_changed_byte_opens(position: int, change: int) -> None:
    one, other = both_ends()
    datagram = bytearray(one.seal(bytes(16)))
    datagram[position] ^= change
    opened = other.open(bytes(datagram))
    # The receiver index only says which session to ask; it is not part of what is sealed.
    assert isinstance(opened, int) or 4 <= position < 8
