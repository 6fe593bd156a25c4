"""The way out: every effect is carried out, in order, or counted, and events reach the log."""

from __future__ import annotations

import errno
import logging
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import cast

import pytest

from kubespan.device.bind import Sockets
from kubespan.device.output import Output, short
from kubespan.linux.tun import Tun
from kubespan.model.address import Endpoint, Source
from kubespan.model.drop import DropReason
from kubespan.model.errors import SystemFault
from kubespan.model.keys import PublicKey
from kubespan.wireguard.effects import DeliverPacket, Dropped, Event, PeerEvent, SendDatagram
from kubespan.wireguard.slot import PureSlot

LOG = logging.getLogger("tests.output")
ENDPOINT = Endpoint.parse("192.0.2.1:51820")
SOURCE = Source(Endpoint.parse("192.0.2.2:1").address, 7)
PEER = PublicKey(bytes(range(32)))


@dataclass
class Outside:
    """Records what leaves, as a TUN device and as sockets, and refuses when told to."""

    left: list[object] = field(default_factory=list)
    refuses: bool = False
    takes_source: bool = True

    def write(self, packet: bytes) -> None:
        if self.refuses:
            raise OSError(errno.EINVAL, "no packet")
        self.left.append(packet)

    def send(
        self, datagram: bytes, endpoint: Endpoint, source: Source | None, traffic_class: int
    ) -> bool:
        if self.refuses:
            raise SystemFault("send", errno.ENETUNREACH)
        self.left.append((datagram, endpoint, source, traffic_class))
        return self.takes_source


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
def output(outside: Outside) -> Output:
    made = Output(cast("Tun", outside), LOG)
    made.sockets = cast("Sockets", outside)
    return made


def slot_with_source() -> PureSlot:
    slot = PureSlot()
    slot.endpoint = ENDPOINT
    slot.source = SOURCE
    return slot


def sending(datagram: bytes = b"datagram", slot: PureSlot | None = None) -> SendDatagram:
    return SendDatagram(datagram, ENDPOINT, SOURCE, 0x88, slot)


def told(caplog: pytest.LogCaptureFixture) -> list[int]:
    """Return the levels of what this log was told: others may be heard while a test runs."""
    return [record.levelno for record in caplog.records if record.name == LOG.name]


def test_effects_are_carried_out_in_their_order(output: Output, outside: Outside) -> None:
    output.perform([sending(b"1"), DeliverPacket(b"2"), sending(b"3"), DeliverPacket(b"4")])
    assert outside.left == [
        (b"1", ENDPOINT, SOURCE, 0x88),
        b"2",
        (b"3", ENDPOINT, SOURCE, 0x88),
        b"4",
    ]
    assert not output.drops


def test_drops_are_counted_by_reason(output: Output, outside: Outside) -> None:
    output.perform([Dropped(DropReason.REPLAYED), Dropped(DropReason.NO_PEER)])
    output.perform([Dropped(DropReason.REPLAYED)])
    assert output.drops == Counter({DropReason.REPLAYED: 2, DropReason.NO_PEER: 1})
    assert outside.left == []


def test_while_down_nothing_is_sent(output: Output, outside: Outside) -> None:
    output.sockets = None
    slot = slot_with_source()
    output.perform([sending(slot=slot), DeliverPacket(b"packet")])
    assert output.drops == Counter({DropReason.INTERFACE_DOWN: 1})
    assert outside.left == [b"packet"]
    assert slot.source == SOURCE


def test_what_the_system_refuses_is_counted(output: Output, outside: Outside) -> None:
    outside.refuses = True
    output.perform([sending(slot=slot_with_source()), DeliverPacket(b"packet"), sending()])
    assert output.drops == Counter({DropReason.SEND_FAILED: 2, DropReason.TUN_REFUSED: 1})


def test_a_device_that_is_gone_takes_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    output = Output(Tun(writing, has_vnet_header=False), LOG)
    output.perform([DeliverPacket(b"packet")])
    assert output.drops == Counter({DropReason.TUN_REFUSED: 1})


@pytest.mark.parametrize(("takes_source", "kept"), [(True, SOURCE), (False, None)])
def test_a_source_that_is_refused_is_forgotten(
    output: Output, outside: Outside, takes_source: bool, kept: Source | None
) -> None:
    outside.takes_source = takes_source
    slot = slot_with_source()
    output.perform([sending(slot=slot), sending()])
    assert len(outside.left) == 2
    assert slot.source == kept
    assert slot.endpoint == ENDPOINT


@pytest.mark.parametrize("event", Event)
def test_events_are_told(output: Output, caplog: pytest.LogCaptureFixture, event: Event) -> None:
    with caplog.at_level(logging.DEBUG, LOG.name):
        output.perform([PeerEvent(PEER, event)])
    (record,) = [one for one in caplog.records if one.name == LOG.name]
    assert record.getMessage() == f"peer({short(PEER)}) - {event.value.capitalize()}"
    is_warning = event is Event.CLOCK_WENT_BACK
    assert record.levelno == (logging.ERROR if is_warning else logging.DEBUG)


def test_an_event_has_its_detail(output: Output, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, LOG.name):
        output.perform([PeerEvent(PEER, Event.ROAMED, "100% sure")])
    assert caplog.messages == [f"peer({short(PEER)}) - Endpoint changed (100% sure)"]


def test_only_warnings_are_told_unless_asked(
    output: Output, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, LOG.name):
        output.perform([PeerEvent(PEER, event) for event in Event])
    assert told(caplog) == [logging.ERROR]


def test_nothing_is_logged_for_a_packet(
    output: Output, outside: Outside, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        output.perform([sending(), DeliverPacket(b"packet"), Dropped(DropReason.BAD_TAG)])
        outside.refuses = True
        output.perform([sending(), DeliverPacket(b"packet")])
    assert told(caplog) == []


def test_a_key_in_short() -> None:
    assert short(PEER) == "AAEC…dHh8"
    assert short(PublicKey(bytes(32))) == "AAAA…AAAA"
