"""A small flood of handshake messages: what it is counted as, who is answered, who is not hurt."""

from __future__ import annotations

import os
import socket
from hashlib import blake2s

import pytest

from kubespan.model.constants import HANDSHAKE_QUEUE
from kubespan.model.keys import PublicKey
from kubespan.noise.cookie import CookieGenerator
from kubespan.noise.messages import CookieReply, MessageType
from tests.netns.lab import KeyPair, Tunnel, eventually
from tests.netns.topology import RIGHT_PORT, Pair
from tests.peers import Program

pytestmark = pytest.mark.netns

BURST = 2 * HANDSHAKE_QUEUE
BOOT = 1000.0


def counters(tunnel: Tunnel) -> dict[str, int]:
    lines = (line.partition("=") for line in tunnel.ask("get=1\n\n").splitlines())
    ours = {k.removeprefix("kubespan_"): v for k, _, v in lines if k.startswith("kubespan_")}
    return {name: int(value) for name, value in ours.items() if value.isdecimal()}


def refused(tunnel: Tunnel) -> int:
    return sum(n for name, n in counters(tunnel).items() if name.startswith("drop_"))


def stranger(pair: Pair) -> socket.socket:
    one = pair.outside.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setblocking(False)
    one.connect(("127.0.0.1", RIGHT_PORT))
    return one


def initiation() -> bytes:
    return (1).to_bytes(4, "little") + os.urandom(112) + bytes(32)


@pytest.fixture
def flooded(middle_pair: Pair, program: Program) -> Pair:
    if program.name != "kubespan-wg":
        pytest.skip("only we count")
    middle_pair.up()
    middle_pair.ping()
    return middle_pair


def test_a_flood_is_counted_to_the_last_message_and_hurts_nobody(flooded: Pair) -> None:
    """Wrong macs, right ones that open to nothing, cookie replies and packets of nobody."""
    right = flooded.right
    key = blake2s(b"mac1----" + PublicKey.from_base64(right.keys.public).raw).digest()
    before = refused(right)
    with stranger(flooded) as one:
        for _ in range(BURST // 4):
            head = initiation()[:116]
            one.send(head + bytes(32))
            one.send(head + blake2s(head, key=key, digest_size=16).digest() + bytes(16))
            one.send((3).to_bytes(4, "little") + os.urandom(60))
            one.send((4).to_bytes(4, "little") + os.urandom(60))
        assert flooded.left.namespace.answers(right.inner4, "-i", "0.01", count=5) == 5
    eventually("all are counted", lambda: refused(right) == before + 4 * (BURST // 4), 20)
    assert counters(right)["drop_bad_mac1"] == BURST // 4


def test_under_load_whoever_shows_a_cookie_is_heard(flooded: Pair) -> None:
    """Strangers get cookies that are true, and a newcomer gets in all the same."""
    right = flooded.right
    generator = CookieGenerator(PublicKey.from_base64(right.keys.public))
    asked: dict[int, bytes] = {}
    answers: list[bytes] = []

    def has_cookie() -> bool:
        for _ in range(BURST // 4):
            datagram = generator.add_macs(initiation(), BOOT)
            asked[int.from_bytes(datagram[4:8], "little")] = datagram
            one.send(datagram)
        try:
            answers.append(one.recv(2048))
        except BlockingIOError:
            return False
        return True

    with stranger(flooded) as one:
        eventually("a cookie", has_cookie, 20)
        reply = CookieReply.parse(answers[0])
        again = CookieGenerator(PublicKey.from_base64(right.keys.public))
        again.add_macs(asked[reply.receiver_index][:-32] + bytes(32), BOOT)
        again.consume_reply(reply, BOOT)
        assert answers[0][0] == MessageType.COOKIE_REPLY
    newcomer = KeyPair.generate()
    right.peer(newcomer.public)
    flooded.left.set_key(newcomer)
    flooded.left.namespace.answers(right.inner4)
    eventually(
        "the newcomer is heard",
        lambda: right.shown("latest-handshakes", newcomer.public) != "0",
        20,
    )
