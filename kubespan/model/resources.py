"""What is known of the mesh and its members, as frozen values with Talos's names.

Values only: where they come from and what becomes of them is for other floors. Talos
`pkg/machinery/resources/cluster` and `.../kubespan` for names and meaning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv6Address

from kubespan.model import base62
from kubespan.model.address import Endpoint, IPAddress, Prefix
from kubespan.model.keys import PrivateKey, PublicKey


class MachineType(Enum):
    """What a machine is to its Kubernetes cluster, as it travels."""

    INIT = "init"
    CONTROL_PLANE = "controlplane"
    WORKER = "worker"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """Who a node is to discovery: 32 random bytes in Talos's base62. Also its affiliate's id."""

    node_id: str

    @property
    def machine_id(self) -> str:
        """The 32 hexadecimal digits that Talos derives for /etc/machine-id. Raises ConfigError."""
        return base62.decode(self.node_id)[:16].hex()


@dataclass(frozen=True, slots=True)
class KubeSpanIdentity:
    """Who a node is to its peers."""

    address: IPv6Address
    subnet: Prefix
    """The cluster's /64, which contains `address`."""

    private_key: PrivateKey = field(repr=False)

    @property
    def public_key(self) -> PublicKey:
        """What peers know the node by."""
        return self.private_key.public_key


@dataclass(frozen=True, slots=True)
class KubeSpanAffiliate:
    """What makes an affiliate a peer."""

    public_key: PublicKey
    address: IPAddress | None
    """Inside the mesh."""

    additional_addresses: tuple[Prefix, ...] = ()
    """Networks behind the node, beside its own addresses."""

    endpoints: tuple[Endpoint, ...] = ()
    """Where it may be reached, in the order in which to try."""

    exclude_advertised_networks: tuple[Prefix, ...] = ()
    """What others must not route to it, though it is among its addresses."""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """What makes an affiliate a control plane node."""

    port: int
    """Of its Kubernetes API server."""


@dataclass(frozen=True, slots=True)
class Affiliate:
    """One node, as it described itself to the others of its cluster."""

    node_id: str
    addresses: tuple[IPAddress, ...] = ()
    hostname: str = ""
    nodename: str = ""
    """Of its Kubernetes Node; empty for a host that is no member of the Kubernetes cluster."""

    operating_system: str = ""
    machine_type: MachineType = MachineType.UNKNOWN
    kubespan: KubeSpanAffiliate | None = None
    control_plane: ControlPlane | None = None


class PeerState(Enum):
    """Whether a peer answers, as Talos says it."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class KubeSpanPeerSpec:
    """What a peer should be to WireGuard, as its affiliate and everybody else's make it."""

    public_key: PublicKey
    address: IPAddress | None
    allowed_ips: tuple[Prefix, ...] = ()
    """What is routed to it, and what it may send from; never anybody else's."""

    endpoints: tuple[Endpoint, ...] = ()
    label: str = ""
    """Its Kubernetes node name, or what else it is called."""


@dataclass(frozen=True, slots=True)
class PeerReading:
    """What WireGuard itself says of a peer. Times are seconds since boot, None for never."""

    endpoint: Endpoint | None = None
    last_handshake_at: float | None = None
    receive_bytes: int = 0
    transmit_bytes: int = 0
    unanswered_since: float | None = None
    """When the first packet was sent to it that nothing has come back for."""


@dataclass(frozen=True, slots=True)
class KubeSpanPeerStatus:
    """How it stands with a peer. Times are seconds since boot, None for never."""

    label: str = ""
    endpoint: Endpoint | None = None
    """Where WireGuard sends now."""

    state: PeerState = PeerState.UNKNOWN
    receive_bytes: int = 0
    transmit_bytes: int = 0
    last_handshake_at: float | None = None
    last_used_endpoint: Endpoint | None = None
    """The one that was set last; where the peer roamed to does not count."""

    last_endpoint_change_at: float | None = None


@dataclass(frozen=True, slots=True)
class KubeSpanEndpoint:
    """An endpoint at which a peer was found to answer, told to others on its behalf."""

    affiliate_id: str
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Member:
    """An affiliate that is a node of the Kubernetes cluster."""

    node_id: str
    addresses: tuple[IPAddress, ...] = ()
    hostname: str = ""
    machine_type: MachineType = MachineType.UNKNOWN
    operating_system: str = ""
    control_plane: ControlPlane | None = None
