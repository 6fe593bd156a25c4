"""What members may truly be, for Hypothesis: affiliates, endpoints, networks."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from kubespan.model.address import Endpoint, IPAddress, Prefix
from kubespan.model.keys import PublicKey
from kubespan.model.resources import Affiliate, ControlPlane, KubeSpanAffiliate, MachineType


def _plain(address: IPAddress) -> bool:
    return not (isinstance(address, IPv6Address) and address.ipv4_mapped)


def _prefix(address: IPAddress, length: int) -> Prefix:
    host_bits = max(0, address.max_prefixlen - length)
    value = int(address) >> host_bits << host_bits
    return Prefix(address.version, value, address.max_prefixlen - host_bits)


addresses: st.SearchStrategy[IPAddress] = st.one_of(
    st.integers(0, 2**32 - 1).map(IPv4Address),
    st.integers(0, 2**128 - 1).map(IPv6Address).filter(_plain),
)
prefixes = st.builds(_prefix, addresses, st.integers(0, 128))
ports = st.integers(1, 65535)
endpoints = st.builds(Endpoint, addresses, ports).filter(lambda one: one.is_another_host)
names = st.text(st.characters(codec="utf-8"), max_size=60).filter(str.isprintable)
node_ids = names.filter(bool)
public_keys = st.binary(min_size=32, max_size=32).map(PublicKey)


def _some(of: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(of, max_size=4).map(tuple)


kubespans = st.builds(
    KubeSpanAffiliate,
    public_key=public_keys,
    address=st.none() | addresses,
    additional_addresses=_some(prefixes),
    endpoints=st.just(()),
    exclude_advertised_networks=_some(prefixes),
)
affiliates = st.builds(
    Affiliate,
    node_id=node_ids,
    addresses=_some(addresses),
    hostname=names,
    nodename=names,
    operating_system=names,
    machine_type=st.sampled_from(MachineType),
    kubespan=st.none() | kubespans,
    control_plane=st.none() | st.builds(ControlPlane, ports),
)
"""Affiliates as they are on the wire: without their endpoints."""
