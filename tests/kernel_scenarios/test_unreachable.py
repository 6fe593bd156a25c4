"""The sender is told when there is no peer for a destination.

The kernel test also wants the error to carry the router's own address after a translation. A
program cannot write such a packet into a TUN device: it would arrive from outside with a local
source and be discarded. So here the error has to arrive, from whatever address.
"""

from __future__ import annotations

import pytest

from tests.netns.lab import Laboratory
from tests.netns.namespace import Namespace
from tests.netns.topology import Pair
from tests.peers import need

pytestmark = pytest.mark.netns

MASQUERADE = """
table ip nat { chain out { type nat hook postrouting priority srcnat;
  ip saddr 192.168.5.0/24 masquerade;
}; }
"""


@pytest.mark.parametrize("family", [4, 6], ids=["inner4", "inner6"])
def test_a_local_sender_is_told(hosts: Pair, family: int) -> None:
    left, right = hosts.left, hosts.right
    destination = right.inner4 if family == 4 else right.inner6
    hosts.ping()
    left.peer(right.keys.public, "remove")
    assert _was_told(left.namespace, destination)


def test_a_sender_behind_a_translation_is_told(hosts: Pair, lab: Laboratory) -> None:
    need("nft")
    left, right = hosts.left, hosts.right
    origin = lab.namespace("origin")
    lab.cable(origin, "wire0", left.namespace, "guests")
    origin.address("wire0", "192.168.5.2/24")
    left.namespace.address("guests", "192.168.5.1/24")
    origin.ip("route", "add", "default", "via", "192.168.5.1")
    left.namespace.sysctl("net/ipv4/ip_forward", 1)
    left.namespace.nft(MASQUERADE)
    origin.ping(right.inner4)
    left.peer(right.keys.public, "remove")
    assert _was_told(origin, right.inner4)


def _was_told(namespace: Namespace, destination: str) -> bool:
    ping = namespace.start("ping", "-n", "-c", "1", "-W", "1", destination)
    said, _ = ping.communicate(timeout=10)
    return "Destination Host Unreachable" in said or "Destination unreachable: Address" in said
