"""A cluster's prefix and a host's address in it: Talos's values, and ours."""

from __future__ import annotations

from hashlib import sha256
from ipaddress import IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.model.address import Prefix
from kubespan.model.errors import InternalError
from kubespan.model.ula import (
    SIDEROLINK_SUBNET,
    host_address,
    is_kubespan_ula,
    is_siderolink_ula,
    kubespan_subnet,
)

TALOS_ID = "8XuV9TZHW08DOk3bVxQjH9ih_TBKjnh-j44tsCLSBzo="  # of Talos's own tests
SUBNETS = [
    (TALOS_ID, "fd7f:175a:b97c:5602::/64"),
    ("v16UCWpO2iOm82n6F8dGCJ41ZXXBvDrjRDs2su7C_zs=", "fd8a:4396:731e:e702::/64"),
    ("yui150Ogam0pdQoNZS2lZR-ihi8EWxNM17bZPktJKKE=", "fde2:b5ed:5b40:7602::/64"),
    ("EUsCYz+oHNuBppS51P9aKSIOyYvIPmbZK944PWgiyMQ=", "fdff:b8e0:c564:bd02::/64"),
    ("test-cluster-id", "fd21:4de:ec13:da02::/64"),
]
HOSTS = [
    (TALOS_ID, "2e1ab6538169", "fd7f:175a:b97c:5602:2c1a:b6ff:fe53:8169"),
    (TALOS_ID, "ea711bb2ccee", "fd7f:175a:b97c:5602:e871:1bff:feb2:ccee"),
    ("test-cluster-id", "00005e005301", "fd21:4de:ec13:da02:200:5eff:fe00:5301"),
]


@pytest.mark.parametrize(("cluster_id", "subnet"), SUBNETS)
def test_subnets(cluster_id: str, subnet: str) -> None:
    assert kubespan_subnet(cluster_id) == Prefix.parse(subnet)


@pytest.mark.parametrize(("cluster_id", "mac", "address"), HOSTS)
def test_hosts(cluster_id: str, mac: str, address: str) -> None:
    made = host_address(kubespan_subnet(cluster_id), bytes.fromhex(mac))
    assert made == IPv6Address(address)
    assert is_kubespan_ula(made)
    assert not is_siderolink_ula(made)


def test_the_seed_of_the_documentation_implies_a_mac() -> None:
    address = host_address(Prefix.parse("fd83:b1f7:fcb5:2802::/64"), bytes.fromhex("8e1371af7c94"))
    assert address == IPv6Address("fd83:b1f7:fcb5:2802:8c13:71ff:feaf:7c94")


@given(cluster_id=st.text(), mac=st.binary(min_size=6, max_size=6))
def test_a_host_is_in_its_subnet(cluster_id: str, mac: bytes) -> None:
    subnet = kubespan_subnet(cluster_id)
    assert subnet.packed()[1:7] == sha256(cluster_id.encode()).digest()[17:23]
    assert subnet.contains(host_address(subnet, mac))
    assert is_kubespan_ula(host_address(subnet, mac))


@given(one=st.binary(min_size=6, max_size=6), other=st.binary(min_size=6, max_size=6))
def test_two_macs_are_two_addresses(one: bytes, other: bytes) -> None:
    subnet = kubespan_subnet("test-cluster-id")
    assert (host_address(subnet, one) == host_address(subnet, other)) == (one == other)


@pytest.mark.parametrize("size", [0, 5, 8, 20])
def test_a_mac_is_six_bytes(size: int) -> None:
    with pytest.raises(InternalError, match=f"not {size}"):
        host_address(kubespan_subnet("test-cluster-id"), bytes(size))


@pytest.mark.parametrize(
    ("text", "kubespan", "siderolink"),
    [
        ("fd00:0:0:2::1", True, False),  # by accident
        ("fdae:41e4:649b:9303::1", False, True),
        ("fd00:0:0:200::1", False, False),
        ("fd00:0:0:102::1", True, False),
        ("fc00:0:0:2::1", False, False),
        ("fe80::2", False, False),
        ("2001:db8:0:2::1", False, False),
        ("253.0.0.2", False, False),
    ],
)
def test_what_an_address_looks_like(text: str, kubespan: bool, siderolink: bool) -> None:
    assert is_kubespan_ula(ip_address(text)) is kubespan
    assert is_siderolink_ula(ip_address(text)) is siderolink


def test_the_management_links_have_one_subnet() -> None:
    assert str(SIDEROLINK_SUBNET) == "fdae:41e4:649b:9303::/64"
    assert is_siderolink_ula(IPv6Address(SIDEROLINK_SUBNET.value | 1))
