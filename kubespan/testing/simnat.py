"""Middleboxes as RFC 4787 sorts them: what a datagram's addresses become, and whether it passes.

Values and `now` in, values out; nothing is sent from here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from kubespan.model.address import Endpoint, IPAddress

MAPPING_TIMEOUT: Final = 30.0
"""Seconds after the last datagram from inside. Linux nf_conntrack; RFC 4787 asks for 120."""

FIRST_PORT: Final = 40_000


class Filtering(Enum):
    """Who may answer through a mapping."""

    ANYBODY = "anybody"
    ADDRESS = "addresses that were written to"
    ADDRESS_AND_PORT = "endpoints that were written to"


class NatKind(Enum):
    """The four kinds that people speak of: whether mappings are per destination, who may answer."""

    FULL_CONE = (False, Filtering.ANYBODY)
    ADDRESS_RESTRICTED = (False, Filtering.ADDRESS)
    PORT_RESTRICTED = (False, Filtering.ADDRESS_AND_PORT)
    SYMMETRIC = (True, Filtering.ADDRESS_AND_PORT)

    @property
    def is_per_destination(self) -> bool:
        """Whether every destination sees another port."""
        return self.value[0]

    @property
    def filtering(self) -> Filtering:
        """Who may answer."""
        return self.value[1]


@dataclass(slots=True)
class Pinholes:
    """Whom something inside has written to, and when last."""

    filtering: Filtering
    timeout: float = MAPPING_TIMEOUT
    _written_at: dict[object, float] = field(default_factory=dict)

    def note(self, remote: Endpoint, now: float) -> None:
        """Something was written to there."""
        self._written_at[self._name(remote)] = now

    def admits(self, remote: Endpoint, now: float) -> bool:
        """Whether something from there passes."""
        if self.filtering is Filtering.ANYBODY:
            return True
        written_at = self._written_at.get(self._name(remote))
        return written_at is not None and now <= written_at + self.timeout

    def _name(self, remote: Endpoint) -> object:
        return remote.address if self.filtering is Filtering.ADDRESS else remote


@dataclass(slots=True)
class _Mapping:
    inside: Endpoint
    outside: Endpoint
    pinholes: Pinholes
    used_at: float


class Nat:
    """One address for a whole network; its mappings end when nothing comes from inside."""

    def __init__(
        self,
        address: IPAddress,
        kind: NatKind,
        *,
        preserves_ports: bool = True,
        timeout: float = MAPPING_TIMEOUT,
    ) -> None:
        self.address = address
        self.kind = kind
        self._preserves_ports = preserves_ports
        self._timeout = timeout
        self._mappings: dict[tuple[Endpoint, Endpoint | None], _Mapping] = {}
        self._by_port: dict[int, _Mapping] = {}
        self._next_port = FIRST_PORT

    def outbound(self, sender: Endpoint, receiver: Endpoint, now: float) -> Endpoint:
        """Return what the receiver will see a datagram come from."""
        key = (sender, receiver if self.kind.is_per_destination else None)
        mapping = self._mappings.get(key)
        if mapping is None or self._is_over(mapping, now):
            mapping = self._map(sender, now)
            self._mappings[key] = mapping
        mapping.used_at = now
        mapping.pinholes.note(receiver, now)
        return mapping.outside

    def inbound(self, sender: Endpoint, receiver: Endpoint, now: float) -> Endpoint | None:
        """Return where inside a datagram goes; None if it does not pass."""
        mapping = self._by_port.get(receiver.port)
        if mapping is None or self._is_over(mapping, now):
            return None
        return mapping.inside if mapping.pinholes.admits(sender, now) else None

    def restart(self) -> None:
        """Forget every mapping, and give out other ports from now on where it can."""
        self._mappings.clear()
        self._by_port.clear()

    def _map(self, sender: Endpoint, now: float) -> _Mapping:
        outside = Endpoint(self.address, self._port_for(sender, now))
        mapping = _Mapping(sender, outside, Pinholes(self.kind.filtering, self._timeout), now)
        self._by_port[outside.port] = mapping
        return mapping

    def _port_for(self, sender: Endpoint, now: float) -> int:
        holder = self._by_port.get(sender.port)
        is_free = holder is None or self._is_over(holder, now)
        if self._preserves_ports and not self.kind.is_per_destination and is_free:
            return sender.port
        self._next_port += 1
        return self._next_port

    def _is_over(self, mapping: _Mapping, now: float) -> bool:
        return now > mapping.used_at + self._timeout
