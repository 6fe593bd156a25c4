"""What is counted after ten pings, to the byte. Kernel self test, its first scenario."""

from __future__ import annotations

import pytest

from tests.netns.topology import Pair

pytestmark = pytest.mark.netns

PINGS = 10
SEALED_PING = 32 + 96
INITIATION, RESPONSE, KEEPALIVE = 148, 92, 32


def test_transfer_is_exact_after_ten_pings(pair: Pair) -> None:
    pair.up()
    pair.left.namespace.ping(pair.right.inner4, count=PINGS)
    received, sent = pair.left.transfer(pair.right.keys.public)
    assert received == RESPONSE + PINGS * SEALED_PING == 1372
    assert sent - (INITIATION + PINGS * SEALED_PING) in (0, KEEPALIVE)
    assert pair.right.transfer(pair.left.keys.public) == (sent, received)


def test_both_ends_know_when_they_shook_hands(pair: Pair) -> None:
    pair.up()
    assert pair.left.shown("latest-handshakes", pair.right.keys.public) == "0"
    pair.left.namespace.ping(pair.right.inner4)
    assert int(pair.left.shown("latest-handshakes", pair.right.keys.public)) > 0
    assert int(pair.right.shown("latest-handshakes", pair.left.keys.public)) > 0


def test_the_links_count_inner_bytes(pair: Pair) -> None:
    """A kernel's interface counts outer bytes here; a TUN device can only count what it carries."""
    pair.up()
    pair.left.namespace.ping(pair.right.inner4, count=PINGS)
    for tunnel in (pair.left, pair.right):
        counted = tunnel.namespace.link(tunnel.name)["stats64"]
        assert counted["rx"]["bytes"] == PINGS * 84
        assert PINGS * 84 <= counted["tx"]["bytes"] < 2500
