"""Carries out what the core asks for: sends, delivers, counts, and tells of events in the log.

What the system refuses is counted and never an error: the timers of the core try again. Nothing is
logged for a packet. Events name a peer by the short form of its key, as wireguard-go's log does.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from kubespan.device.bind import Sockets
from kubespan.linux.tun import Tun
from kubespan.model.drop import DropReason
from kubespan.model.errors import SystemFault
from kubespan.model.keys import PublicKey
from kubespan.wireguard.effects import (
    DeliverPacket,
    Dropped,
    Effect,
    Event,
    PeerEvent,
    SendDatagram,
)

_WARNINGS = frozenset((Event.CLOCK_WENT_BACK,))
"""Events that an operator has to hear of, because nothing will go on before something is done."""


class Output:
    """The way out: of one TUN device and, while it is up, one pair of sockets."""

    def __init__(
        self,
        tun: Tun,
        log: logging.Logger,
        hear_event: Callable[[PeerEvent], object] | None = None,
    ) -> None:
        self.sockets: Sockets | None = None
        self.drops: Counter[DropReason] = Counter()
        self._tun = tun
        self._log = log
        self._hear_event = hear_event

    def perform(self, effects: list[Effect]) -> None:
        """Carry out effects in their order."""
        for effect in effects:
            match effect:
                case SendDatagram():
                    self._send(effect)
                case DeliverPacket():
                    self._deliver(effect.packet)
                case Dropped():
                    self.drops[effect.reason] += 1
                case PeerEvent():
                    self._tell(effect)

    def _send(self, effect: SendDatagram) -> None:
        if self.sockets is None:
            self.drops[DropReason.INTERFACE_DOWN] += 1
            return
        try:
            had_source = self.sockets.send(
                effect.datagram, effect.endpoint, effect.source, effect.traffic_class
            )
        except SystemFault:
            self.drops[DropReason.SEND_FAILED] += 1
            return
        if not had_source and effect.slot is not None:
            effect.slot.source = None

    def _deliver(self, packet: bytes) -> None:
        try:
            self._tun.write(packet)
        except OSError:
            self.drops[DropReason.TUN_REFUSED] += 1

    def _tell(self, event: PeerEvent) -> None:
        if self._hear_event is not None:
            self._hear_event(event)
        level = logging.ERROR if event.event in _WARNINGS else logging.DEBUG
        if self._log.isEnabledFor(level):
            detail = f" ({event.detail})" if event.detail else ""
            text = event.event.value.capitalize()
            self._log.log(level, "peer(%s) - %s%s", short(event.peer), text, detail)


def short(public_key: PublicKey) -> str:
    """Return a key as logs name it: its first and last four characters."""
    text = public_key.base64()
    return f"{text[:4]}…{text[39:43]}"
