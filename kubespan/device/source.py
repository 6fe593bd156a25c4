"""From which local address each peer is answered, and when that has to end.

Linux looks at its routes for every packet that it sends. Lanes do not, so a way is given up when a
route change makes it stale; and since a packet of the peer that was already on its way would bring
it back at once, it is given up again and again, less and less often, until routes change anew.
Runs on the event loop; asks no routes itself. Kernel socket.c (send4, send6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from kubespan.linux.route import Way
from kubespan.model.address import IPAddress
from kubespan.wireguard.datapath import PeerSlot
from kubespan.wireguard.interface import Interface

FIRST_LOOK_AFTER = 0.02
LATER_LOOKS_AFTER = 1.0


class Sources:
    """The sources of all peers of one interface."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self._stale: frozenset[Way] = frozenset()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def ways(self) -> frozenset[Way]:
        """How peers are answered at present, or may be soon, from a fixed address.

        This may be asked from any thread.
        """
        return self._stale.union(way for _, way in self._answered())

    def forget(self) -> None:
        """Let the system choose where everybody is answered from."""
        self._follow(frozenset())
        for slot, _ in self._answered():
            slot.source = None

    def forget_addresses(self, gone: frozenset[IPAddress]) -> None:
        """Answer nobody from these addresses any more."""
        for slot, way in self._answered():
            if way.source.address in gone:
                slot.source = None

    def forget_ways(self, stale: frozenset[Way]) -> None:
        """Answer nobody in these ways, of all there are, until told of other ones."""
        endpoints = {peer.slot.endpoint for peer in self._interface.peers.values()}
        self._follow(frozenset(way for way in stale if way.endpoint in endpoints))
        self._look(FIRST_LOOK_AFTER)

    def close(self) -> None:
        """Look no more."""
        self._follow(frozenset())

    def _follow(self, stale: frozenset[Way]) -> None:
        self._stale = stale
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, again_after: float) -> None:
        for slot, way in self._answered():
            if way in self._stale:
                slot.source = None
        if self._stale:
            loop = asyncio.get_running_loop()
            later = min(2 * again_after, LATER_LOOKS_AFTER)
            self._timer = loop.call_later(again_after, self._look, later)

    def _answered(self) -> Iterator[tuple[PeerSlot, Way]]:
        # A list is made in one step, whatever another thread does meanwhile.
        for peer in list(self._interface.peers.values()):
            endpoint, source = peer.slot.endpoint, peer.slot.source
            if endpoint is None or source is None:
                continue
            # A lane may have roamed between the two looks.
            if endpoint.address.version == source.address.version:
                yield peer.slot, Way(endpoint, source)
