"""Datagrams at the door: which reason each refusal is counted under, and who is touched."""

from __future__ import annotations

from random import Random

import pytest

from kubespan.model.address import Arrival, Endpoint
from kubespan.model.drop import DropReason
from kubespan.model.instant import Instant
from kubespan.model.keys import PrivateKey, PublicKey
from kubespan.noise.cookie import CookieGenerator
from kubespan.noise.handshake import Handshake, LocalStatic
from kubespan.noise.tai64n import timestamp
from kubespan.wireguard.allowedips import AllowedIPs
from kubespan.wireguard.effects import Dropped, Effect, SendDatagram
from kubespan.wireguard.peer import Peer
from kubespan.wireguard.purepath import PurePath
from kubespan.wireguard.reception import Reception
from kubespan.wireguard.schedule import Schedule
from kubespan.wireguard.surroundings import Surroundings

ARRIVAL = Arrival(Endpoint.parse("192.0.2.1:1"), None)
NOW = Instant(1000.0, 10**18)


class Door:
    """The reception of one interface with one peer, and a caller who is that peer."""

    def __init__(self, *, has_key: bool = True) -> None:
        self.ours = LocalStatic(PrivateKey(bytes([1] * 32)))
        self.theirs = LocalStatic(PrivateKey(bytes([2] * 32)))
        local = self.ours if has_key else None
        self.surroundings: Surroundings[Peer] = Surroundings(
            PurePath(), Random(0).randbytes, local=local
        )
        self.schedule: Schedule[Peer] = Schedule()
        self.peer = Peer(self.theirs.public_key, self.surroundings)
        self.peers: dict[PublicKey, Peer] = {self.theirs.public_key: self.peer}
        self.reception = Reception(self.peers, AllowedIPs(), self.surroundings, self.schedule)
        if has_key:
            self.reception.set_identity(self.ours.public_key)

    def initiation(self) -> bytes:
        caller = Handshake(self.theirs, self.ours.public_key)
        datagram = caller.create_initiation(
            ephemeral=PrivateKey(bytes([3] * 32)),
            local_index=7,
            timestamp=timestamp(NOW.wall_ns),
        )
        return CookieGenerator(self.ours.public_key).add_macs(datagram, NOW.boot)

    def receive(self, datagram: bytes, queued: int = 0) -> list[Effect]:
        return self.reception.receive(datagram, ARRIVAL, NOW, queued=queued, congestion=False)


def message(kind: int, size: int) -> bytes:
    return kind.to_bytes(4, "little") + bytes(size - 4)


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", DropReason.MALFORMED),
        (b"\1\0\0", DropReason.MALFORMED),
        (message(0, 148), DropReason.UNKNOWN_TYPE),
        (message(5, 148), DropReason.UNKNOWN_TYPE),
        (b"\1\0\0\1" + bytes(144), DropReason.UNKNOWN_TYPE),
        (message(1, 147), DropReason.MALFORMED),
        (message(2, 93), DropReason.MALFORMED),
        (message(3, 63), DropReason.MALFORMED),
        (message(4, 31), DropReason.MALFORMED),
        (message(1, 148), DropReason.BAD_MAC1),
        (message(2, 92), DropReason.BAD_MAC1),
        (message(3, 64), DropReason.UNKNOWN_INDEX),
        (message(4, 32), DropReason.UNKNOWN_INDEX),
        (message(4, 65507), DropReason.UNKNOWN_INDEX),
    ],
)
def test_reasons(datagram: bytes, reason: DropReason) -> None:
    door = Door()
    assert door.receive(datagram) == [Dropped(reason)]
    assert door.schedule.next(lambda _: 0.0) is None


@pytest.mark.parametrize(("kind", "size"), [(1, 148), (2, 92)])
def test_without_a_key_nobody_is_called(kind: int, size: int) -> None:
    assert Door(has_key=False).receive(message(kind, size)) == [Dropped(DropReason.NO_KEY)]


def test_a_caller_is_answered_and_looked_after() -> None:
    door = Door()
    door.peer.start(NOW)
    assert any(isinstance(effect, SendDatagram) for effect in door.receive(door.initiation()))
    assert door.schedule.next(lambda peer: peer.timers.next_check(NOW.boot)) is not None


def test_a_peer_that_is_not_started_is_not_answered() -> None:
    door = Door()
    assert door.receive(door.initiation()) == [Dropped(DropReason.INTERFACE_DOWN)]
    assert door.peer.slot.next is None


def test_a_stranger_with_our_public_key_is_not_answered() -> None:
    door = Door()
    door.peers.clear()
    assert door.receive(door.initiation()) == [Dropped(DropReason.UNKNOWN_PEER)]


def test_an_index_of_the_wrong_kind_is_unknown() -> None:
    door = Door()
    door.peer.set_endpoint(ARRIVAL.endpoint)
    door.peer.start(NOW)
    door.peer.send_initiation(NOW)
    (index,) = door.surroundings.indices._handshakes
    transport = (4).to_bytes(4, "little") + index.to_bytes(4, "little") + bytes(24)
    assert door.receive(transport) == [Dropped(DropReason.UNKNOWN_INDEX)]
    door.receive(door.initiation())
    (index,) = door.surroundings.indices._keypairs
    response = (2).to_bytes(4, "little") + bytes(4) + index.to_bytes(4, "little") + bytes(80)
    response = CookieGenerator(door.ours.public_key).add_macs(response, NOW.boot)
    assert door.receive(response) == [Dropped(DropReason.UNKNOWN_INDEX)]
    cookie_reply = (3).to_bytes(4, "little") + index.to_bytes(4, "little") + bytes(56)
    assert door.receive(cookie_reply) == [Dropped(DropReason.BAD_AEAD)]


def test_an_ephemeral_of_low_order_is_refused() -> None:
    door = Door()
    door.peer.start(NOW)
    datagram = bytearray(door.initiation())
    datagram[8:40] = bytes(32)
    bad = CookieGenerator(door.ours.public_key).add_macs(bytes(datagram), NOW.boot)
    assert door.receive(bad) == [Dropped(DropReason.LOW_ORDER_POINT)]


def test_under_load_the_cookie_reply_is_an_effect_of_nobody() -> None:
    door = Door()
    door.peer.start(NOW)
    reply, dropped = door.receive(door.initiation(), queued=1000)
    assert isinstance(reply, SendDatagram)
    assert (reply.endpoint, reply.traffic_class, reply.slot) == (ARRIVAL.endpoint, 0, None)
    assert dropped == Dropped(DropReason.UNDER_LOAD)
