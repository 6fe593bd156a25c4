"""What is known besides the mesh itself when somebody asks what is wrong. Others find it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from kubespan.model.address import Endpoint
from kubespan.model.finding import Finding
from kubespan.model.host import UnderlyingLink
from kubespan.model.keys import PublicKey


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """How it stands with one discovery service. Times are seconds since boot."""

    name: str
    target: str
    """`host:port`."""

    affiliates: int = 0
    updated_at: float | None = None
    """When it last said anything about members, None for never."""

    down_since: float | None = None
    """None while it is connected."""

    failure: str = ""
    """Why it is not, in the words of the last try; empty where nothing was tried yet."""

    is_at_limit: bool = False
    """Whether it refused something because the cluster has too much of it."""

    @property
    def is_connected(self) -> bool:
        """Whether it tells us of changes."""
        return self.down_since is None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Facts about this host that no peer shows. What is not known is left at its default."""

    services: tuple[ServiceFacts, ...] = ()
    interface_mtu: int | None = None
    """What the mesh's interface has now."""

    ways: Mapping[Endpoint, UnderlyingLink] = field(default_factory=lambda: MappingProxyType({}))
    """How endpoints are reached."""

    findings: tuple[Finding, ...] = ()
    """What on this machine is in the way."""

    clock_behind: float = 0.0
    """Seconds by which the wall clock is earlier than a moment that is surely past."""

    is_native: bool = True
    """Whether packets are moved by the native module."""

    seen_at: Mapping[PublicKey, float] = field(default_factory=lambda: MappingProxyType({}))
    """When discovery last spoke of a peer, in seconds since boot; static peers are left out."""
