"""What a host says of itself: which addresses, which endpoints in which order, and what never."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.mesh.identity import kubespan_identity
from kubespan.mesh.local import (
    local_affiliate,
    local_endpoints,
    routed_addresses,
    useful_public_addresses,
)
from kubespan.model.address import Endpoint, IPAddress, Prefix
from kubespan.model.config import KubeSpanConfig, NodeConfig
from kubespan.model.host import (
    SCOPE_LINK,
    AddressFlag,
    Host,
    HostAddress,
    Link,
    OperationalState,
)
from kubespan.model.keys import PrivateKey
from kubespan.model.resources import Affiliate, MachineType, NodeIdentity
from tests.hosts import CARD

LOOPBACK = replace(
    CARD, index=1, name="lo", is_ethernet=False, mac=bytes(6), state=OperationalState.UNKNOWN
)
TUNNEL = replace(LOOPBACK, index=3, name="kubespan", kind="tun", mac=b"", has_carrier=False)
NODE = NodeIdentity("sou7yy34ykX3n373Zw1DXKb8zD7UnyKT6HT3QDsGH6L")
IDENTITY = kubespan_identity("test-cluster-id", CARD.mac, PrivateKey(bytes(range(32))))
INSIDE = "fd21:4de:ec13:da02:200:5eff:fe00:5301"
SIDEROLINK = "fdae:41e4:649b:9303:1::1"


def ips(*texts: str) -> tuple[IPAddress, ...]:
    return tuple(map(ip_address, texts))


def held(text: str, link: Link = CARD, **others: Any) -> HostAddress:
    return HostAddress(ip_address(text), 24, link.index, **others)


POD_NETWORKS = (Prefix.parse("10.244.3.0/24"),)


def config(**kubespan: Any) -> NodeConfig:
    return NodeConfig(
        kubespan=KubeSpanConfig(enabled=True, **kubespan),
        pod_networks=POD_NETWORKS,
        cluster_networks=(Prefix.parse("10.96.0.0/12"),),
    )


# ---------------------------------------------------------------------------------- addresses


def test_addresses_are_in_order_and_each_once() -> None:
    addresses = [
        held("2001:db8::1"),
        held("192.0.2.7", TUNNEL),
        held("10.0.0.9"),
        held("10.0.0.10"),
        held("10.0.0.9", TUNNEL),
        held("::ffff:10.0.0.9"),
        held("fd00::5"),
    ]
    assert routed_addresses([CARD, TUNNEL], addresses) == ips(
        "10.0.0.9", "10.0.0.10", "192.0.2.7", "2001:db8::1", "fd00::5"
    )


@pytest.mark.parametrize(
    ("link", "works"),
    [
        (CARD, True),
        (TUNNEL, True),
        (replace(CARD, is_up=False), False),
        (replace(CARD, has_carrier=False), False),
        (replace(CARD, kind="bridge", has_carrier=False), True),
        (replace(CARD, state=OperationalState.UNKNOWN), True),
        *(
            (replace(CARD, state=s), False)
            for s in OperationalState
            if s.name not in ("UP", "UNKNOWN")
        ),
        (replace(CARD, index=99), False),
    ],
)
def test_only_links_that_work_count(link: Link, works: bool) -> None:
    entry = HostAddress(ip_address("10.0.0.9"), 24, link.index % 99)
    assert routed_addresses([link], [entry]) == (ips("10.0.0.9") if works else ())


@pytest.mark.parametrize(
    "entry",
    [
        held("127.0.0.1"),
        held("127.9.9.9"),
        held("::1"),
        held("169.254.116.108"),
        held("fe80::1"),
        held("fe80::1%eth0"),
        held("::ffff:127.0.0.1"),
        held("224.0.0.1"),
        held("ff02::1"),
        held("0.0.0.0"),
        held("::"),
        held(SIDEROLINK),
        held("10.0.0.1", scope=SCOPE_LINK),
        held("10.0.0.1", scope=254),
        held("2001:db8::1", flags=AddressFlag.TENTATIVE),
        held("2001:db8::1", flags=AddressFlag.DUPLICATE | AddressFlag.TEMPORARY),
    ],
)
def test_what_is_never_told(entry: HostAddress) -> None:
    assert routed_addresses([CARD], [entry]) == ()


@pytest.mark.parametrize(
    "entry",
    [
        held("10.0.0.1", scope=200),
        held("2001:db8::1", flags=AddressFlag.TEMPORARY | AddressFlag.DEPRECATED),
        # Networks of somebody's own that only look like a mesh or a SideroLink.
        held("fd00:0:0:2::1"),
        held("fd00:0:0:3::1"),
    ],
)
def test_what_is_told_all_the_same(entry: HostAddress) -> None:
    assert routed_addresses([CARD], [entry]) == (entry.address,)


def test_a_zone_is_not_told() -> None:
    (address,) = routed_addresses([CARD], [held("2001:db8::1%eth0")])
    assert isinstance(address, IPv6Address)
    assert address.scope_id is None


def test_foreign_networks_are_left_out() -> None:
    addresses = [held("10.244.1.1"), held("10.0.0.1"), held("fd00:244::1")]
    foreign = (Prefix.parse("10.244.0.0/16"), Prefix.parse("fd00:244::/32"))
    assert routed_addresses([CARD], addresses, foreign) == ips("10.0.0.1")


@given(address=st.ip_addresses(), mapped=st.booleans())
def test_whatever_is_told_can_be_used_anywhere(address: IPAddress, mapped: bool) -> None:
    if mapped and address.version == 4:
        address = IPv6Address(f"::ffff:{address}")
    for told in (
        *routed_addresses([CARD], [HostAddress(address, 24, CARD.index)]),
        *useful_public_addresses([address], allow_private=True),
    ):
        assert not told.is_loopback
        assert not told.is_multicast
        assert not told.is_link_local
        assert not told.is_unspecified
        assert getattr(told, "ipv4_mapped", None) is None


# --------------------------------------------------------------------------- public addresses


def test_public_addresses_are_kept_in_order_and_each_once() -> None:
    learned = ips("203.0.113.7", "2001:db8::7", "203.0.113.7", "::ffff:203.0.113.7", "1.1.1.1")
    assert useful_public_addresses(learned) == ips("203.0.113.7", "2001:db8::7", "1.1.1.1")


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "::1", "0.0.0.0", "::", "169.254.0.1", "fe80::1%2", "224.0.0.1"),
        *(INSIDE, SIDEROLINK, "fd00:0:0:2::1", "fd00:0:0:3::1", "::ffff:127.0.0.1"),
    ],
)
@pytest.mark.parametrize("allow_private", [False, True])
def test_public_addresses_that_help_nobody(text: str, allow_private: bool) -> None:
    assert useful_public_addresses(ips(text), allow_private=allow_private) == ()


@pytest.mark.parametrize(
    "text",
    [
        *("10.1.2.3", "100.64.0.1", "172.31.255.1", "192.168.0.1"),
        *("fd00::1", "fc00::1", "::ffff:10.1.2.3"),
    ],
)
def test_private_ones_if_they_are_wanted(text: str) -> None:
    assert useful_public_addresses(ips(text)) == ()
    (kept,) = useful_public_addresses(ips(text), allow_private=True)
    assert str(kept) == text.removeprefix("::ffff:")


# ---------------------------------------------------------------------------------- endpoints


def test_endpoints_as_talos_makes_them() -> None:
    # From Talos's own test of its local affiliate.
    wanted = config(
        endpoint_filters=("0.0.0.0/0", "!192.168.0.0/16", "2001::/16"),
        extra_announced_endpoints=(
            Endpoint.parse("10.5.0.1:51820"),
            Endpoint.parse("1.2.3.4:5678"),
        ),
    )
    addresses = ips("172.20.0.2", "10.5.0.1", "192.168.192.168", "2001:123:4567::1", "1.1.1.1")
    assert [str(endpoint) for endpoint in local_endpoints(wanted, addresses)] == [
        "172.20.0.2:51820",
        "10.5.0.1:51820",
        "1.1.1.1:51820",
        "[2001:123:4567::1]:51820",
        "1.2.3.4:5678",
    ]


def test_the_port_is_the_one_that_is_listened_on() -> None:
    wanted = replace(config(), listen_port=4242)
    assert local_endpoints(wanted, ips("192.0.2.1")) == (Endpoint.parse("192.0.2.1:4242"),)


def test_endpoints_that_mean_nothing_elsewhere_are_left_out() -> None:
    useless = (
        *("127.0.0.1:1", "[fe80::1%2]:1", "0.0.0.0:1", "[ff02::1]:1", "192.0.2.1:0"),
        *("169.254.0.1:1", "255.255.255.255:1"),
    )
    wanted = config(extra_announced_endpoints=tuple(map(Endpoint.parse, useless)))
    assert local_endpoints(wanted, ips("127.0.0.1", "fe80::1", "::", "224.0.0.1")) == ()


def test_no_filter_and_an_empty_one_differ() -> None:
    assert local_endpoints(config(endpoint_filters=()), ips("192.0.2.1")) == ()
    assert len(local_endpoints(config(endpoint_filters=None), ips("192.0.2.1"))) == 1


# ---------------------------------------------------------------------------------- affiliate

HOST = Host(
    hostname="here.example.org",
    links=(LOOPBACK, CARD, TUNNEL),
    addresses=(
        held("127.0.0.1", LOOPBACK, scope=254),
        held("2001:db8::5"),
        held("192.168.3.4"),
        held("fe80::1", scope=SCOPE_LINK),
        held("10.244.3.1", TUNNEL),
        held("10.96.0.1", TUNNEL),
    ),
    public_addresses=ips("::ffff:203.0.113.7"),
)


def affiliate(wanted: NodeConfig, host: Host = HOST) -> Affiliate:
    return local_affiliate(wanted, NODE, IDENTITY, host, version="0.1.0")


def test_the_whole_record() -> None:
    wanted = replace(
        config(exclude_advertised_networks=(Prefix.parse("192.168.1.0/24"),)), node_name="bar"
    )
    record = affiliate(wanted)
    assert record.node_id == NODE.node_id
    assert record.addresses == ips("192.168.3.4", "2001:db8::5", INSIDE)
    assert (record.hostname, record.nodename) == ("here.example.org", "bar")
    assert record.operating_system == "kubespan (v0.1.0)"
    assert record.machine_type is MachineType.WORKER
    assert record.control_plane is None
    assert record.kubespan is not None
    assert record.kubespan.public_key == IDENTITY.public_key
    assert record.kubespan.address == IPv6Address(INSIDE)
    assert record.kubespan.additional_addresses == ()
    assert record.kubespan.exclude_advertised_networks == (Prefix.parse("192.168.1.0/24"),)
    assert [str(endpoint) for endpoint in record.kubespan.endpoints] == [
        "192.168.3.4:51820",
        "[2001:db8::5]:51820",
        "203.0.113.7:51820",
    ]


def test_the_mesh_is_among_the_addresses_but_never_an_endpoint() -> None:
    host = replace(
        HOST,
        addresses=(held(INSIDE, TUNNEL), held("fd21:4de:ec13:da02::99", TUNNEL)),
        public_addresses=(),
    )
    record = affiliate(config(), host)
    assert record.addresses == ips("fd21:4de:ec13:da02::99", INSIDE)
    assert record.kubespan is not None
    assert record.kubespan.endpoints == ()


def test_pod_networks_are_told_if_that_is_wanted() -> None:
    record = affiliate(config(advertise_kubernetes_networks=True))
    assert record.kubespan is not None
    assert record.kubespan.additional_addresses == POD_NETWORKS


def test_a_public_address_of_the_hosts_own_is_one_endpoint() -> None:
    record = affiliate(config(), replace(HOST, public_addresses=ips("192.168.3.4")))
    assert record.kubespan is not None
    assert len(record.kubespan.endpoints) == 2


def test_a_configured_name_comes_before_the_systems() -> None:
    assert affiliate(replace(config(), hostname="there")).hostname == "there"


def test_without_the_mesh_it_is_nobodys_peer() -> None:
    off = local_affiliate(
        replace(config(), kubespan=KubeSpanConfig()), NODE, IDENTITY, HOST, version="0.1.0"
    )
    nobody = local_affiliate(config(), NODE, None, HOST, version="0.1.0")
    assert off == nobody
    assert off.kubespan is None
    assert off.addresses == ips("192.168.3.4", "2001:db8::5")


def test_a_control_plane_machine_claims_no_kubernetes_api() -> None:
    record = affiliate(replace(config(), machine_type=MachineType.CONTROL_PLANE))
    assert record.machine_type is MachineType.CONTROL_PLANE
    assert record.control_plane is None
