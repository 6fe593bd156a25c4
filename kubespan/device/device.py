"""One WireGuard interface, alive: what happens goes into the core, what it asks for is done.

A shell. It has the sockets, the lanes, one timer, and the state of the link; every decision about
peers is the core's. Runs on one event loop and is called from its thread only.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from kubespan.device.bind import Sockets, open_sockets
from kubespan.device.clock import Clock
from kubespan.device.lanes import Hearer, Lanes
from kubespan.device.output import Output
from kubespan.device.source import Sources
from kubespan.linux.link import LinkState
from kubespan.linux.tun import Tun
from kubespan.model.address import Arrival
from kubespan.model.drop import DropReason
from kubespan.model.errors import ConfigError, SystemFault
from kubespan.model.instant import Instant
from kubespan.model.keys import PublicKey
from kubespan.model.plan import InterfaceConfig
from kubespan.model.resources import PeerReading
from kubespan.wireguard.configure import configure, readings
from kubespan.wireguard.datapath import DataPath
from kubespan.wireguard.effects import Dropped, Effect, PeerEvent
from kubespan.wireguard.interface import Interface
from kubespan.wireguard.surroundings import KeyLog

LONGEST_NAP = 1.0
"""Seconds until time is looked at again, since the loop's clock stands still while we sleep."""

SHORTEST_NAP = 0.001


class Device:
    """An interface with its surroundings; what lanes hear and what operators ask for meet here."""

    def __init__(
        self,
        tun: Tun,
        path: DataPath,
        make_lanes: Callable[[Hearer], Lanes],
        random: Callable[[int], bytes],
        log: logging.Logger,
        *,
        key_log: KeyLog | None = None,
        hear_event: Callable[[PeerEvent], object] | None = None,
    ) -> None:
        self.interface = Interface(path, random, key_log)
        self.sources = Sources(self.interface)
        self.gone = asyncio.Event()
        """Set when the interface is deleted."""

        self.has_seen_link = asyncio.Event()
        """Set when it is known for the first time whether the interface is up."""

        self.listen_port = 0
        self.fwmark = 0
        self._path = path
        self._clock = Clock()
        self._log = log
        self._output = Output(tun, log, hear_event)
        self._config: InterfaceConfig | None = None
        self._lanes = make_lanes(self)
        self._is_link_up = False
        self._timer: asyncio.TimerHandle | None = None
        self._is_arming = False

    # Life.

    def start(self) -> None:
        """Be there, and down until told otherwise."""
        self._lanes.attend(None)

    def close(self) -> None:
        """Forget all keys and let go of everything but the TUN device, which is not ours."""
        self._lanes.close()
        self.sources.close()
        self._output.perform(self.interface.close(self.now()))
        self._leave_sockets()
        if self._timer is not None:
            self._timer.cancel()

    def now(self) -> Instant:
        """Return the present moment."""
        return self._clock.now()

    def perform(self, effects: list[Effect]) -> None:
        """Carry out what the core asks for, then wait for what it expects next."""
        self._output.perform(effects)
        if not self._is_arming:
            self._is_arming = True
            asyncio.get_running_loop().call_soon(self._arm)

    def _arm(self) -> None:
        self._is_arming = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self.now()
        wake_at = self.interface.next_timeout(now)
        if wake_at is not None:
            nap = min(max(wake_at - now.boot, SHORTEST_NAP), LONGEST_NAP)
            self._timer = asyncio.get_running_loop().call_later(nap, self._wake)
        self._spread()

    def _wake(self) -> None:
        self.perform(self.interface.handle_timeout(self.now()))

    # The link.

    def follow_link(self, state: LinkState | None) -> None:
        """Be up or down as the operator made the link, None meaning that it is deleted."""
        self.has_seen_link.set()
        if state is None:
            self.hear_gone()
            return
        self._path.mtu = state.mtu
        if state.is_up and not self._is_link_up:
            self._log.debug("Interface up requested")
            self._is_link_up = True
            self._go_up()
        elif self._is_link_up and not state.is_up:
            self._log.debug("Interface down requested")
            self._is_link_up = False
            self._go_down()

    def _go_up(self) -> None:
        try:
            self._use(self._open_sockets(self.listen_port))
        except SystemFault as fault:
            self._log.error(
                "Stays down, for it cannot %s; set another listen-port, or the link up again", fault
            )
            return
        self.perform(self.interface.set_up(self.now()))

    def _go_down(self) -> None:
        self._lanes.attend(None)
        self.perform(self.interface.set_down(self.now()))
        self._leave_sockets()

    # The configuration, whole.

    def configure(self, config: InterfaceConfig) -> None:
        """Become what a configuration says; sessions are kept. Raises SystemFault, ConfigError.

        If the port cannot be had, all the rest is so, and the same again tries to have it.
        """
        if config.fwmark != self.fwmark:
            self.set_fwmark(config.fwmark)
        former, self._config = self._config, config
        self.perform(configure(self.interface, config, self.now(), former))
        if config.listen_port != self.listen_port or not self.interface.is_up:
            self.set_listen_port(config.listen_port)

    @property
    def mtu(self) -> int:
        """What the interface has now, 0 where that is not known."""
        return self._path.mtu

    def readings(self) -> dict[PublicKey, PeerReading]:
        """Return how it stands with every peer, as WireGuard sees it."""
        return readings(self.interface)

    def hail(self) -> None:
        """Let every peer learn the address that we have."""
        self.perform(self.interface.hail(self.now()))

    # The sockets.

    def set_listen_port(self, port: int) -> None:
        """Listen on another port, or on any for 0. Raises SystemFault, and then nothing changed."""
        if port == self.listen_port and (self.interface.is_up or not self._is_link_up):
            return
        if self._is_link_up:
            self._use(self._open_sockets(port))
            self.perform(self.interface.set_up(self.now()))
        else:
            self.listen_port = port
        self.sources.forget()

    def set_fwmark(self, mark: int) -> None:
        """Mark datagrams from now on. Raises SystemFault, and then nothing changed."""
        if self._output.sockets is not None:
            self._output.sockets.set_mark(mark)
        self.fwmark = mark
        self.sources.forget()

    def scope_id(self, name: str) -> int:
        """Return the number of an interface where our sockets are. Raises ConfigError."""
        try:
            return socket.if_nametoindex(name)
        except (OSError, ValueError):
            raise ConfigError(f"there is no interface {name!r} here; write its number") from None

    def _open_sockets(self, port: int) -> Sockets:
        return open_sockets(port, self.fwmark, merge=self._lanes.merges)

    def _use(self, sockets: Sockets) -> None:
        former = self._output.sockets
        kept = () if former is None else former.open
        try:
            self._lanes.attend(sockets)
        except SystemFault:
            sockets.close(keep=kept)
            self._lanes.attend(former)
            raise
        self._output.sockets = sockets
        self.listen_port = sockets.port
        if former is not None:
            former.close(keep=sockets.open)

    def _spread(self) -> None:
        """Give peers queues of their own once there are several: one alone waits for nobody."""
        sockets = self._output.sockets
        is_due = self._lanes.sorts and len(self.interface.peers) > 1
        if sockets is None or sockets.is_spread or not is_due:
            return
        # Tried once, whatever comes of it.
        self._output.sockets = replace(sockets, is_spread=True)
        try:
            self._use(sockets.spread(self.fwmark, merge=self._lanes.merges))
        except SystemFault as fault:
            self._log.warning("All peers wait in one line, for it cannot %s", fault)

    def _leave_sockets(self) -> None:
        if self._output.sockets is not None:
            self._output.sockets.close()
            self._output.sockets = None

    # What lanes hear.

    def hear_packet(self, packet: bytes) -> None:
        """Send a packet from the TUN device."""
        self.perform(self.interface.send_packet(packet, self.now()))

    def hear_unroutable(self, packet: bytes) -> None:
        """Tell the sender of a packet that there is no peer for it."""
        self.perform(self.interface.unreachable(packet, self.now()))

    def hear_datagram(
        self, datagram: bytes, arrival: Arrival, *, queued: int, congestion: bool
    ) -> None:
        """Handle a datagram."""
        now = self.now()
        self.perform(
            self.interface.receive_datagram(
                datagram, arrival, now, queued=queued, congestion=congestion
            )
        )

    def hear_confirmed(self, local_index: int) -> None:
        """Use a session that the peer has used."""
        self.perform(self.interface.handle_confirmed(local_index, self.now()))

    def hear_rekey_due(self, local_index: int) -> None:
        """Replace a session."""
        self.perform(self.interface.handle_rekey_due(local_index, self.now()))

    def hear_overflow(self) -> None:
        """Count what was too much."""
        self.perform([Dropped(DropReason.QUEUE_FULL)])

    def hear_gone(self) -> None:
        """Tell whoever waits for the interface's end."""
        self.gone.set()

    # Numbers.

    def counters(self) -> Mapping[str, int | str]:
        """Return which implementation this is, what lanes did, how handshakes went, and drops."""
        handshakes = self.interface.handshakes.items()
        return {
            "implementation": self._lanes.implementation,
            "aead": self._lanes.aead,
            **{f"handshakes_{role}_{result}": count for (role, result), count in handshakes},
            **(self._drops() + Counter(self._lanes.counters())),
        }

    def _drops(self) -> Counter[str]:
        drops = sorted(self._output.drops.items())
        return Counter({f"drop_{reason.name.lower()}": count for reason, count in drops})
