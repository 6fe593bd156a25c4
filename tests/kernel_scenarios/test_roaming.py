"""Endpoints follow what is authenticated, whatever becomes of the packet inside."""

from __future__ import annotations

import pytest

from tests.netns.lab import KeyPair
from tests.netns.topology import LEFT_PORT, LOOPBACK, Pair
from tests.netns.traffic import udp_pair

pytestmark = pytest.mark.netns


def test_a_new_address_and_port_over_ipv4(pair: Pair) -> None:
    pair.up()
    pair.ping()
    pair.outside.ip("address", "delete", "127.0.0.1/8", "dev", "lo")
    pair.outside.address("lo", "127.212.121.99/8")
    pair.left.set("listen-port", "9999")
    pair.left.namespace.ping(pair.right.inner6)
    assert _endpoint_of_left(pair) == "127.212.121.99:9999"


def test_a_new_address_and_port_over_ipv6(pair: Pair) -> None:
    pair.meet(LOOPBACK[6], LOOPBACK[6])
    pair.up()
    pair.ping()
    pair.outside.ip("address", "delete", "::1/128", "dev", "lo")
    pair.outside.address("lo", "2001:db8:42::42/64")
    pair.left.peer(pair.right.keys.public, "endpoint", "[2001:db8:42::42]:1002")
    pair.left.set("listen-port", "9998")
    pair.left.namespace.ping(pair.right.inner4)
    assert _endpoint_of_left(pair) == "[2001:db8:42::42]:9998"


def test_the_filter_refuses_a_source_that_belongs_to_another_peer(pair: Pair) -> None:
    """Every step is one datagram without a second chance."""
    left, right = pair.left, pair.right
    pair.up()
    left.peer(right.keys.public, "allowed-ips", "10.77.0.0/24")
    with udp_pair(right.namespace, left.namespace, left.inner4) as (near, far):
        near.send(b"of a network that is right's")
        assert far.recv(100) == b"of a network that is right's"
        other = KeyPair.generate().public
        left.peer(other, "allowed-ips", f"{right.inner4}/32")
        right.set("listen-port", "9997")
        near.send(b"of an address that is another's")
        with pytest.raises(TimeoutError):
            far.recv(100)
        assert left.shown("endpoints", right.keys.public) == "127.0.0.1:9997"
        left.peer(other, "remove")
        near.send(b"of a network that is right's again")
        assert far.recv(100) == b"of a network that is right's again"


def _endpoint_of_left(pair: Pair) -> str:
    assert pair.left.shown("listen-port") != str(LEFT_PORT)
    return pair.right.shown("endpoints", pair.left.keys.public)
