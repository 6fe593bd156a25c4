"""What WireGuard and the kernel should be: plans as frozen values, made by `mesh`."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address

from kubespan.model.address import Endpoint, Prefix
from kubespan.model.constants import (
    KUBESPAN_KEEPALIVE_INTERVAL,
    KUBESPAN_LINK,
    KUBESPAN_LISTEN_PORT,
    KUBESPAN_MARK,
    MSS_OVERHEAD,
)
from kubespan.model.keys import PresharedKey, PrivateKey, PublicKey


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """One peer of a WireGuard interface."""

    public_key: PublicKey
    endpoint: Endpoint | None
    """Where to send from now on; None leaves it where it is."""

    allowed_ips: tuple[Prefix, ...] = ()
    candidates: tuple[Endpoint, ...] = ()
    """Where else a handshake may be begun while nobody answers."""

    persistent_keepalive: int = KUBESPAN_KEEPALIVE_INTERVAL


@dataclass(frozen=True, slots=True)
class InterfaceConfig:
    """A WireGuard interface, whole: a peer that is not here is to be none."""

    private_key: PrivateKey
    preshared_key: PresharedKey
    """Of every pair of peers."""

    peers: tuple[PeerConfig, ...] = ()
    """In ascending order of their keys."""

    listen_port: int = KUBESPAN_LISTEN_PORT
    fwmark: int = KUBESPAN_MARK


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """What the kernel should know of the mesh: its link, its address, and what is steered."""

    address: IPv6Address
    subnet: Prefix
    mtu: int
    steered: tuple[Prefix, ...] = ()
    """Destinations whose packets go into the mesh whatever other routes say; none overlap."""

    services: tuple[Endpoint, ...] = ()
    """Where discovery is, on TCP. What this host says to it, or answers as it, goes past the mesh:
    a member may be there, and before there is a tunnel to it we must hear of it."""

    link: str = KUBESPAN_LINK

    def segment_size(self, version: int) -> int:
        """Return the largest TCP segment that fits into the mesh, for IP version 4 or 6."""
        return self.mtu - MSS_OVERHEAD[version]
