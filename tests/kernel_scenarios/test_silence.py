"""Who says nothing, for how long, and what makes them speak at once."""

from __future__ import annotations

import base64
import time

import pytest

from tests.netns.capture import Capture
from tests.netns.lab import KeyPair, Laboratory, Tunnel, eventually
from tests.netns.topology import Pair
from tests.peers import Program

pytestmark = pytest.mark.netns

PRIME = 2**255 - 19
LOW_ORDER_POINTS = [
    0,
    1,
    int.from_bytes(base64.b64decode("4Ot6fDtBuK4WVuP68Z/EatoJjeucMrH9hmIFFl9JuAA="), "little"),
    int.from_bytes(base64.b64decode("X5yVvKNQjCSx0LFVnIPvWwREXMRYHI6G2CJO3dCfEVc="), "little"),
    PRIME - 1,
    PRIME,
    PRIME + 1,
]
AT_ONCE = 0.9


def test_low_order_peers_send_nothing(lab: Laboratory, program: Program) -> None:
    tunnel = lab.tunnel(program, lab.namespace("alone")).start()
    tunnel.set_key()
    for point in LOW_ORDER_POINTS:
        public = base64.b64encode(point.to_bytes(32, "little")).decode()
        tunnel.peer(public, "endpoint", "127.0.0.1:1111", "persistent-keepalive", "1")
    with Capture(tunnel.born, "lo") as capture:
        tunnel.up()
        time.sleep(2)
        assert capture.datagrams() == []
    assert [row[1:] for row in tunnel.show("transfer")] == [["0", "0"]] * len(LOW_ORDER_POINTS)


def test_nothing_before_the_interface_is_up(pair: Pair) -> None:
    pair.left.peer(pair.right.keys.public, "persistent-keepalive", "1")
    time.sleep(1.2)
    assert _sent(pair.left) == 0
    pair.up()
    eventually("a handshake because the interface is up", lambda: _sent(pair.left) > 0, AT_ONCE)


def test_nothing_before_there_is_a_key(lab: Laboratory, program: Program) -> None:
    tunnel = lab.tunnel(program, lab.namespace("alone")).start()
    tunnel.peer(
        KeyPair.generate().public, "endpoint", "127.0.0.1:1111", "persistent-keepalive", "1"
    )
    tunnel.up()
    time.sleep(1.2)
    assert _sent(tunnel) == 0
    tunnel.set_key()
    eventually("a handshake because there is a key", lambda: _sent(tunnel) > 0, AT_ONCE)


def _sent(tunnel: Tunnel) -> int:
    return int(tunnel.show("transfer")[0][2])
