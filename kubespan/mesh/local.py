"""What this node says of itself to the others: its addresses, its endpoints, its key.

Everything told here becomes a route to us at every peer, so nothing is told that is not ours or
means something else elsewhere. Where Talos leaves out any address that looks like one of a mesh or
a SideroLink, and so somebody's own `fd..:2::/64` and `fd..:3::/64`, we compare with the prefixes
themselves. Talos `internal/app/machined/pkg/controllers/cluster`, from its description.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import Final

from kubespan.mesh.filter import filtered_endpoints
from kubespan.model.address import Endpoint, IPAddress, Prefix
from kubespan.model.config import NodeConfig
from kubespan.model.host import (
    SCOPE_LINK,
    AddressFlag,
    Host,
    HostAddress,
    Link,
    OperationalState,
)
from kubespan.model.resources import (
    Affiliate,
    KubeSpanAffiliate,
    KubeSpanIdentity,
    NodeIdentity,
)
from kubespan.model.ula import SIDEROLINK_SUBNET, is_kubespan_ula, is_siderolink_ula

NOT_OURS_YET: Final = AddressFlag.TENTATIVE | AddressFlag.DUPLICATE
WORKING: Final = frozenset({OperationalState.UP, OperationalState.UNKNOWN})

PRIVATE_NETWORKS: Final = tuple(
    map(
        Prefix.parse,
        ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
    )
)
"""Addresses that many networks use at once. RFC 1918, RFC 6598, RFC 4193."""


def local_affiliate(
    config: NodeConfig,
    node: NodeIdentity,
    identity: KubeSpanIdentity | None,
    host: Host,
    *,
    version: str,
) -> Affiliate:
    """Return our own record. Without identity, or with KubeSpan off, it makes us no one's peer.

    It never says that we serve a Kubernetes API, whatever the type of the machine: kubespan does
    not know of any.
    """
    peer = identity if config.kubespan.enabled else None
    foreign = config.pod_networks + config.cluster_networks
    routed = routed_addresses(host.links, host.addresses, foreign)
    return Affiliate(
        node_id=node.node_id,
        # Even before the interface has it: peers must route to it from the beginning.
        addresses=routed if peer is None else _sorted((*routed, peer.address)),
        hostname=config.hostname or host.hostname,
        nodename=config.node_name,
        operating_system=f"kubespan (v{version})",
        machine_type=config.machine_type,
        kubespan=None if peer is None else _kubespan(config, peer, host, routed),
    )


def _kubespan(
    config: NodeConfig, identity: KubeSpanIdentity, host: Host, routed: tuple[IPAddress, ...]
) -> KubeSpanAffiliate:
    wanted = config.kubespan
    reachable = (*routed, *map(_plain, host.public_addresses))
    return KubeSpanAffiliate(
        public_key=identity.public_key,
        address=identity.address,
        additional_addresses=config.pod_networks if wanted.advertise_kubernetes_networks else (),
        endpoints=local_endpoints(
            config, [address for address in reachable if not identity.subnet.contains(address)]
        ),
        exclude_advertised_networks=wanted.exclude_advertised_networks,
    )


def local_endpoints(config: NodeConfig, addresses: Iterable[IPAddress]) -> tuple[Endpoint, ...]:
    """Return where we may be reached, given our addresses outside the mesh, the best ones first.

    Filters choose among the addresses; what the operator announces besides is behind them, as it
    is written. Raises ConfigError if a filter is none.
    """
    own = [Endpoint(a, config.listen_port) for a in addresses if _means_us_everywhere(a)]
    extra = filter(means_one_host_everywhere, config.kubespan.extra_announced_endpoints)
    filtered = filtered_endpoints(own, config.kubespan.endpoint_filters)
    return tuple(dict.fromkeys((*filtered, *extra)))


def means_one_host_everywhere(endpoint: Endpoint) -> bool:
    """Whether others can use an endpoint that is announced, wherever they are."""
    is_sendable = endpoint.port != 0 and endpoint.is_another_host
    return is_sendable and _means_us_everywhere(endpoint.address)


def routed_addresses(
    links: Iterable[Link], addresses: Iterable[HostAddress], foreign: Iterable[Prefix] = ()
) -> tuple[IPAddress, ...]:
    """Return the addresses at which others may find this host, IPv4 first, then ascending.

    Left out is what is not ours yet, what means something else or nothing at all on other hosts,
    what is on a link that does not work, and what lies in the `foreign` networks.
    """
    working = {link.index for link in links if _works(link)}
    left_out = (SIDEROLINK_SUBNET, *foreign)
    return _sorted(
        address
        for entry in addresses
        if entry.link_index in working
        and entry.scope < SCOPE_LINK
        and not entry.flags & NOT_OURS_YET
        and _means_us_everywhere(address := _plain(entry.address))
        and not any(network.contains(address) for network in left_out)
    )


def useful_public_addresses(
    learned: Iterable[IPAddress], *, allow_private: bool = False
) -> tuple[IPAddress, ...]:
    """Return those addresses that services see us at that may help others to reach us, each once.

    A service that we reach through a tunnel sees the tunnel's address. So addresses that look like
    those of a mesh or a SideroLink are no use, whoever's they are; private ones are where the
    services themselves are in the private network.
    """
    return tuple(
        dict.fromkeys(
            address
            for address in map(_plain, learned)
            if _means_us_everywhere(address)
            and not is_kubespan_ula(address)
            and not is_siderolink_ula(address)
            and (allow_private or not any(n.contains(address) for n in PRIVATE_NETWORKS))
        )
    )


def _works(link: Link) -> bool:
    """Whether packets pass it; only physical links say reliably whether there is a carrier."""
    return link.is_up and link.state in WORKING and (link.has_carrier or not link.is_physical)


def _means_us_everywhere(address: IPAddress) -> bool:
    """Whether it is an address of one host alone, and the same one wherever it is used."""
    return not (
        address.is_unspecified
        or address.is_loopback
        or address.is_multicast
        or address.is_link_local
    )


def _plain(address: IPAddress) -> IPAddress:
    """Return an address without zone, and IPv4 as IPv4."""
    if not isinstance(address, IPv6Address):
        return address
    return address.ipv4_mapped or IPv6Address(address.packed)


def _sorted(addresses: Iterable[IPAddress]) -> tuple[IPAddress, ...]:
    return tuple(sorted(set(addresses), key=lambda address: (address.version, int(address))))
