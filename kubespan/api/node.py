"""What the window shows and acts on: whoever runs a node offers this.

Protocol and values only, so that neither side needs to know how the other is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from kubespan.mesh.evidence import ServiceFacts
from kubespan.mesh.mtu import Mtu
from kubespan.mesh.problem import Problem
from kubespan.model.address import Endpoint, IPAddress
from kubespan.model.instant import Instant
from kubespan.model.keys import PublicKey
from kubespan.store.store import Store


@dataclass(frozen=True, slots=True)
class DataPlane:
    """What moves the packets."""

    implementation: str
    """`native` or `pure`."""

    aead: str = ""
    """Which library seals and opens, and how."""

    lanes: int = 0
    has_offloads: bool = False


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """How it stands with the node, beside its resources. Times are seconds since boot."""

    hostname: str
    started_at: float
    listen_port: int
    mtu: Mtu
    data_plane: DataPlane
    is_started: bool = False
    """Whether the interface is there and the mesh was looked at once."""

    is_ready: bool = False
    """Whether peers are known, from discovery or from the cache, or it is known that none are."""

    public_addresses: tuple[IPAddress, ...] = ()
    services: tuple[ServiceFacts, ...] = ()
    problems: tuple[Problem, ...] = ()
    """The worst first."""

    counters: Mapping[str, int | str] = field(default_factory=lambda: MappingProxyType({}))
    """As the device has them: `drop_REASON`, `handshakes_ROLE_RESULT`, and others."""

    endpoint_changes: int = 0
    held_back: frozenset[PublicKey] = frozenset()
    """Peers that answer, and are not shown as up before packets for them are steered."""

    round_trips: Mapping[PublicKey, float] = field(default_factory=lambda: MappingProxyType({}))
    """Of peers that were pinged lately, in seconds."""


@dataclass(frozen=True, slots=True)
class Echo:
    """The answer to one echo request through the mesh."""

    address: IPAddress
    endpoint: Endpoint | None
    """Which way it went."""

    round_trip: float
    """Seconds."""


class Node(Protocol):
    """A running node."""

    @property
    def store(self) -> Store:
        """All its resources."""

    def now(self) -> Instant:
        """Return the present moment."""

    def facts(self) -> NodeFacts:
        """Return how it stands."""

    async def ping(self, peer: PublicKey, timeout: float) -> Echo | None:  # noqa: ASYNC109
        """Send an echo request to a peer's address in the mesh; None if nothing comes back."""

    async def apply(self, text: bytes, *, dry_run: bool) -> Mapping[str, Any]:
        """Take over a configuration, or only say what that would change.

        Returns plain data. Raises ConfigError, and then nothing changed.
        """

    async def stop(self) -> None:
        """Begin to leave the mesh; the process ends soon after."""
