"""What requests of the configuration protocol act on: whoever has an interface offers this.

A Protocol only, so that the protocol's text needs to know no sockets and no event loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from kubespan.model.instant import Instant
from kubespan.wireguard.effects import Effect
from kubespan.wireguard.interface import Interface


class Target(Protocol):
    """What requests act on: the core, and what is around it."""

    @property
    def interface(self) -> Interface:
        """The core."""

    @property
    def listen_port(self) -> int:
        """The UDP port, 0 if it is yet to be picked."""

    @property
    def fwmark(self) -> int:
        """The firewall mark of datagrams, 0 for none."""

    def now(self) -> Instant:
        """Return the present moment."""

    def perform(self, effects: list[Effect]) -> None:
        """Carry out what the core asks for."""

    def set_listen_port(self, port: int) -> None:
        """Listen there, or anywhere for 0. Raises SystemFault, and then nothing changed."""

    def set_fwmark(self, mark: int) -> None:
        """Mark datagrams from now on. Raises SystemFault, and then nothing changed."""

    def scope_id(self, name: str) -> int:
        """Return the number of the interface that an IPv6 scope names. Raises ConfigError."""

    def counters(self) -> Mapping[str, int | str]:
        """Return what else is to be told, by names that `kubespan_` is put in front of."""
