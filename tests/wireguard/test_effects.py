"""Effects are values: equal by what they say, unchangeable, and without secrets."""

from __future__ import annotations

import dataclasses

import pytest

from kubespan.model.address import Endpoint
from kubespan.model.drop import DropReason
from kubespan.model.keys import PublicKey
from kubespan.wireguard.effects import (
    DeliverPacket,
    Dropped,
    Effect,
    Event,
    PeerEvent,
    SendDatagram,
)

PEER = PublicKey(bytes(32))
EFFECTS: tuple[Effect, ...] = (
    SendDatagram(b"datagram", Endpoint.parse("192.0.2.1:1"), None, 0, None),
    DeliverPacket(b"packet"),
    Dropped(DropReason.NO_PEER),
    PeerEvent(PEER, Event.ROAMED, "192.0.2.1:1"),
)


@pytest.mark.parametrize("effect", EFFECTS)
def test_effects_are_values(effect: Effect) -> None:
    assert dataclasses.replace(effect) == effect
    field = dataclasses.fields(effect)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(effect, field, None)


def test_every_event_reads_as_words() -> None:
    words = [event.value for event in Event]
    assert len(set(words)) == len(words)
    assert all(word.islower() or "'" in word for word in words)
