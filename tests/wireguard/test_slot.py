"""The slot: which times follow from what, and what happens to sessions that leave it."""

from __future__ import annotations

from kubespan.model.address import Arrival, Endpoint, Source
from kubespan.model.drop import DropReason
from kubespan.wireguard.slot import PureSlot
from tests.wireguard.twins import both_ends, keypair

HERE, THERE = Endpoint.parse("192.0.2.1:1"), Endpoint.parse("192.0.2.2:2")
LOCAL = Source(THERE.address, 3)


def test_a_new_slot_knows_nothing() -> None:
    slot = PureSlot()
    assert (slot.endpoint, slot.source, slot.previous, slot.current, slot.next) == (None,) * 5
    assert (slot.last_sent_at, slot.last_received_at, slot.last_data_received_at) == (0, 0, 0)
    assert (slot.first_data_sent_at, slot.first_data_received_at) == (0, 0)
    assert (slot.tx_bytes, slot.rx_bytes) == (0, 0)


def test_the_first_data_received_counts_until_anything_is_sent() -> None:
    slot = PureSlot()
    slot.note_received(1.0, 32, data=False)
    assert slot.first_data_received_at == 0.0
    slot.note_received(2.0, 48, data=True)
    slot.note_received(3.0, 48, data=True)
    assert (slot.first_data_received_at, slot.last_data_received_at) == (2.0, 3.0)
    slot.note_sent(4.0, 32, data=False)
    assert (slot.first_data_received_at, slot.last_data_received_at) == (0.0, 3.0)
    slot.note_received(5.0, 48, data=True)
    assert slot.first_data_received_at == 5.0
    slot.forget_data_received()
    assert slot.first_data_received_at == 0.0


def test_the_first_data_sent_counts_until_anything_is_received() -> None:
    slot = PureSlot()
    slot.note_sent(1.0, 32, data=False)
    assert slot.first_data_sent_at == 0.0
    slot.note_sent(2.0, 48, data=True)
    slot.note_sent(3.0, 48, data=True)
    assert slot.first_data_sent_at == 2.0
    slot.note_received(4.0, 32, data=False)
    assert slot.first_data_sent_at == 0.0
    slot.note_sent(5.0, 48, data=True)
    slot.forget_data_sent()
    assert slot.first_data_sent_at == 0.0


def test_last_times_and_bytes() -> None:
    slot = PureSlot()
    slot.note_sent(1.0, 148, data=False)
    slot.note_sent(2.0, 128, data=True)
    slot.note_received(3.0, 92, data=False)
    assert (slot.last_sent_at, slot.last_received_at) == (2.0, 3.0)
    assert (slot.tx_bytes, slot.rx_bytes) == (276, 92)


def test_an_endpoint_that_is_set_forgets_the_source_and_one_that_roams_brings_it() -> None:
    slot = PureSlot()
    slot.roam(Arrival(HERE, LOCAL))
    assert (slot.endpoint, slot.source) == (HERE, LOCAL)
    slot.endpoint = THERE
    assert (slot.endpoint, slot.source) == (THERE, None)


def test_sessions_that_leave_are_wiped_and_those_that_stay_are_not() -> None:
    (one, other), third = both_ends(), keypair(3)
    slot = PureSlot()
    slot.install(None, one, third)
    slot.install(one, third, None)
    datagram = other.seal(b"still there")
    assert one.open(datagram) == b"still there"
    slot.install(None, third, None)
    assert one.open(other.seal(b"")) == DropReason.UNKNOWN_INDEX
    slot.retire()
    assert (slot.previous, slot.current, slot.next) == (None, None, None)
    assert third.open(datagram) == DropReason.UNKNOWN_INDEX
