"""What waits and what leaves: order, bound, padding, and what the slot is told."""

from __future__ import annotations

import pytest

from kubespan.model.address import Endpoint, Source
from kubespan.model.constants import MAX_STAGED_PACKETS, REJECT_AFTER_MESSAGES
from kubespan.model.drop import DropReason
from kubespan.model.instant import Instant
from kubespan.model.keys import PublicKey
from kubespan.wireguard.effects import Dropped, Event, PeerEvent, SendDatagram
from kubespan.wireguard.outbox import Outbox
from kubespan.wireguard.purepath import PurePath
from tests.wireguard.packets import ipv4
from tests.wireguard.twins import both_ends

PEER = PublicKey(bytes(32))
THERE = Endpoint.parse("192.0.2.2:2")
LOCAL = Source(Endpoint.parse("192.0.2.1:1").address, 1)
NOW = Instant(1000.0, 0)


class Ground:
    """An outbox, with the slot and path that it stands on."""

    def __init__(self) -> None:
        self.path = PurePath()
        self.slot = self.path.create_slot()
        self.slot.endpoint = THERE
        self.slot.source = LOCAL
        self.outbox = Outbox(PEER, self.slot, self.path)


def test_packets_leave_in_order_padded_and_noted() -> None:
    ground, (one, other) = Ground(), both_ends()
    packets = [ipv4("10.0.0.1", "10.0.0.2", bytes(size), tos=1) for size in (0, 1, 44)]
    for packet in packets:
        assert ground.outbox.stage(packet) == []
    assert len(ground.outbox) == 3
    effects = ground.outbox.send_staged(one, NOW)
    sent = [effect for effect in effects if isinstance(effect, SendDatagram)]
    assert [(e.endpoint, e.source, e.traffic_class, e.slot) for e in sent] == [
        (THERE, LOCAL, 1, ground.slot)
    ] * 3
    assert [other.open(effect.datagram) for effect in sent] == [
        packet.ljust(size, b"\0") for packet, size in zip(packets, (32, 32, 64), strict=True)
    ]
    assert ground.slot.tx_bytes == 64 + 64 + 96
    assert ground.slot.first_data_sent_at == NOW.boot
    assert len(ground.outbox) == 0


def test_the_padding_follows_the_mtu() -> None:
    ground, (one, _) = Ground(), both_ends()
    ground.path.mtu = 1300
    ground.outbox.stage(ipv4("10.0.0.1", "10.0.0.2", bytes(1277)))
    (effect,) = ground.outbox.send_staged(one, NOW)
    assert isinstance(effect, SendDatagram)
    assert len(effect.datagram) == 32 + 1297


def test_a_keepalive_is_staged_only_where_nothing_else_waits() -> None:
    ground, (one, other) = Ground(), both_ends()
    ground.outbox.stage_keepalive()
    ground.outbox.stage_keepalive()
    sent, event = ground.outbox.send_staged(one, NOW)
    assert isinstance(sent, SendDatagram)
    assert other.open(sent.datagram) == b""
    assert event == PeerEvent(PEER, Event.KEEPALIVE_SENT)
    assert ground.slot.first_data_sent_at == 0.0
    ground.outbox.stage(ipv4("10.0.0.1", "10.0.0.2"))
    ground.outbox.stage_keepalive()
    assert len(ground.outbox) == 1


def test_the_oldest_makes_room() -> None:
    ground, (one, other) = Ground(), both_ends()
    packets = [ipv4("10.0.0.1", "10.0.0.2", bytes([n])) for n in range(MAX_STAGED_PACKETS + 2)]
    effects = [effect for packet in packets for effect in ground.outbox.stage(packet)]
    assert effects == [Dropped(DropReason.STAGED_OVERFLOW)] * 2
    first, *_ = ground.outbox.send_staged(one, NOW)
    assert isinstance(first, SendDatagram)
    opened = other.open(first.datagram)
    assert isinstance(opened, bytes)
    assert opened[20] == 2


def test_dropping_counts_packets_but_not_keepalives() -> None:
    ground = Ground()
    ground.outbox.stage_keepalive()
    for _ in range(2):
        ground.outbox.stage(ipv4("10.0.0.1", "10.0.0.2"))
    dropped = ground.outbox.drop_staged(DropReason.INTERFACE_DOWN)
    assert dropped == [Dropped(DropReason.INTERFACE_DOWN)] * 2
    assert len(ground.outbox) == 0


@pytest.mark.parametrize("left", [0, 1])
def test_what_the_session_cannot_take_stays(left: int) -> None:
    ground, (one, _) = Ground(), both_ends()
    one.send_counter = REJECT_AFTER_MESSAGES - left
    for _ in range(3):
        ground.outbox.stage(ipv4("10.0.0.1", "10.0.0.2"))
    assert len(ground.outbox.send_staged(one, NOW)) == left
    assert len(ground.outbox) == 3 - left


def test_to_nowhere_only_the_attempt_is_noted() -> None:
    ground = Ground()
    ground.slot.endpoint = None
    assert ground.outbox.send(b"datagram", 0, NOW) == [Dropped(DropReason.NO_ENDPOINT)]
    assert (ground.slot.tx_bytes, ground.slot.last_sent_at) == (0, NOW.boot)
