"""A packet is not padded beyond a route's MTU that the program cannot know of."""

from __future__ import annotations

import pytest

from tests.netns.topology import Pair

pytestmark = pytest.mark.netns

SWALLOW_PADDED = """
table ip filter { chain in { type filter hook input priority 0; ip length 1360 drop; }; }
"""


def test_large_packets_are_not_padded_beyond_the_routes_mtu(pair: Pair) -> None:
    """1297 bytes at MTU 1300 and route MTU 1299: with padding to 1300 the outer packet has 1360."""
    pair.up(1300)
    for near, far in ((pair.left, pair.right), (pair.right, pair.left)):
        near.namespace.ip("route", "add", f"{far.inner4}/32", "dev", near.name, "mtu", "1299")
    pair.ping()
    pair.outside.nft(SWALLOW_PADDED)
    before = pair.right.transfer(pair.left.keys.public)
    pair.right.namespace.ping(pair.left.inner4, size=1269)
    received, sent = pair.right.transfer(pair.left.keys.public)
    assert 32 + 1297 <= received - before[0] <= 32 + 1299
    assert 32 + 1297 <= sent - before[1] <= 32 + 1299
