"""Against Linux's own WireGuard: both roles, both families, and what each counts of the other."""

from __future__ import annotations

import hashlib
import random
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.interop.conftest import Neighbours
from tests.interop.kernel_tunnel import KernelTunnel
from tests.netns.lab import KeyPair, Laboratory, Tunnel, eventually
from tests.netns.namespace import run
from tests.peers import program_under_test

pytestmark = [pytest.mark.netns, pytest.mark.interop]

OURS4, THEIRS4 = "10.77.0.1", "10.77.0.2"
OURS6, THEIRS6 = "fd77::1", "fd77::2"
ALLOWED_OURS = f"{OURS4}/32,{OURS6}/128"
ALLOWED_THEIRS = f"{THEIRS4}/32,{THEIRS6}/128"
PORT = 51820
BLOB_BYTES = 4 << 20
REKEY_SECONDS = 130


@dataclass(frozen=True, slots=True)
class Pair:
    """Ours and the kernel's, each holding the other as a peer without an endpoint."""

    sides: Neighbours
    ours: Tunnel
    theirs: KernelTunnel

    def introduce(self, initiator: str, *, outer: int = 4, preshared: str = "") -> None:
        """Make each the other's peer; only the initiator knows where the other is."""
        host, guest = self._outer(outer)
        endpoints = {"ours": ("endpoint", f"{guest}:{PORT}"), "kernel": f"endpoint {host}:{PORT} "}
        self.ours.peer(
            self.theirs.keys.public,
            *(endpoints["ours"] if initiator == "ours" else ()),
            "allowed-ips",
            ALLOWED_THEIRS,
            preshared=preshared,
        )
        self.theirs.peer(
            self.ours.keys.public,
            f"{endpoints['kernel'] if initiator == 'kernel' else ''}allowed-ips {ALLOWED_OURS}",
            preshared=preshared,
        )

    def ping_from(self, side: str, *, count: int = 1, size: int = 56) -> None:
        """Ping the other side's IPv4 address."""
        if side == "ours":
            self.ours.namespace.ping(THEIRS4, count=count, size=size)
        else:
            self.theirs.ping(OURS4, count=count, size=size)

    def handshake_times(self) -> tuple[int, int]:
        """When each side saw the last handshake complete, by its own clock."""
        ours = self.ours.shown("latest-handshakes", self.theirs.keys.public)
        return int(ours), int(self.theirs.shown("latest-handshakes", self.ours.keys.public))

    def _outer(self, family: int) -> tuple[str, str]:
        if family == 4:
            return self.sides.host4, self.sides.guest4
        return f"[{self.sides.host6}]", f"[{self.sides.guest6}]"


@pytest.fixture
def pair(neighbours: Neighbours) -> Iterator[Pair]:
    """Two interfaces with keys, addresses and ports, up, without peers."""
    theirs = KernelTunnel(neighbours.guest)
    try:
        with Laboratory() as lab:
            ours = lab.tunnel(program_under_test(), neighbours.host).start()
            for tunnel in (ours, theirs):
                tunnel.set_key()
            ours.set("listen-port", str(PORT))
            theirs.set(f"listen-port {PORT}")
            ours.address(f"{OURS4}/24", f"{OURS6}/64")
            theirs.address(f"{THEIRS4}/24", f"{THEIRS6}/64")
            ours.up()
            theirs.up()
            yield Pair(neighbours, ours, theirs)
    finally:
        theirs.close()


@pytest.mark.parametrize("preshared", [False, True], ids=["plain", "preshared"])
@pytest.mark.parametrize("outer", [4, 6], ids=["outer4", "outer6"])
@pytest.mark.parametrize("initiator", ["ours", "kernel"])
def test_a_handshake_and_pings_in_both_families(
    pair: Pair, initiator: str, outer: int, preshared: bool
) -> None:
    pair.introduce(initiator, outer=outer, preshared=run("wg", "genpsk") if preshared else "")
    pair.ping_from(initiator)
    pair.ours.namespace.ping(THEIRS6, count=5)
    pair.theirs.ping(OURS4, count=5)
    pair.theirs.ping(OURS6, count=5)
    assert all(pair.handshake_times())


@pytest.mark.parametrize("initiator", ["ours", "kernel"])
def test_a_wrong_preshared_key_opens_nothing(pair: Pair, initiator: str) -> None:
    pair.introduce(initiator, preshared=run("wg", "genpsk"))
    pair.theirs.peer(pair.ours.keys.public, "", preshared=run("wg", "genpsk"))
    with pytest.raises(Exception, match=r"100% packet loss"):
        pair.ping_from(initiator)
    assert pair.handshake_times()[0 if initiator == "ours" else 1] == 0


@pytest.mark.parametrize("initiator", ["ours", "kernel"])
def test_each_counts_what_the_other_sent(pair: Pair, initiator: str) -> None:
    pair.introduce(initiator)
    pair.ping_from(initiator, count=10)
    received, sent = pair.ours.transfer(pair.theirs.keys.public)
    assert pair.theirs.transfer(pair.ours.keys.public) == (sent, received)
    from_initiator, from_responder = (sent, received) if initiator == "ours" else (received, sent)
    assert from_initiator in (148 + 10 * 128, 148 + 10 * 128 + 32)
    assert from_responder == 92 + 10 * 128


@pytest.mark.parametrize("size", [0, 4, 5, 1382, 1383, 1391, 1392])
def test_padding_is_the_same_on_both_sides(pair: Pair, size: int) -> None:
    pair.introduce("ours")
    pair.ping_from("ours")
    before = pair.ours.transfer(pair.theirs.keys.public)
    pair.ping_from("ours", size=size)
    received, sent = pair.ours.transfer(pair.theirs.keys.public)
    expected = 32 + min(-(-(size + 28) // 16) * 16, 1420)
    # The responder's own padding is a measure that does not come from us.
    assert (received - before[0], sent - before[1]) == (expected, expected)
    assert pair.theirs.transfer(pair.ours.keys.public) == (sent, received)


@pytest.mark.parametrize("outer", [4, 6], ids=["outer4", "outer6"])
def test_full_size_frames_pass_unfragmented(pair: Pair, outer: int) -> None:
    pair.introduce("ours", outer=outer)
    for size, ours, theirs in ((1392, OURS4, THEIRS4), (1372, OURS6, THEIRS6)):
        pair.ours.namespace.ping(theirs, "-M", "do", size=size, count=5)
        pair.theirs.ping(ours, size=size, count=5, more="-M do")


@pytest.mark.parametrize("inner", [4, 6], ids=["inner4", "inner6"])
@pytest.mark.parametrize("outer", [4, 6], ids=["outer4", "outer6"])
def test_a_transfer_each_way_arrives_as_it_left(pair: Pair, inner: int, outer: int) -> None:
    pair.introduce("kernel", outer=outer)
    pair.ping_from("kernel")
    blob = random.Random(inner * 10 + outer).randbytes(BLOB_BYTES)
    address = OURS4 if inner == 4 else OURS6
    _serve_once(pair, address, blob, f"nc {address} 7001 </dev/null >/tmp/blob")
    digest = pair.theirs.guest.run("sha256sum /tmp/blob").split()[0]
    assert digest == hashlib.sha256(blob).hexdigest()
    back = _serve_once(pair, address, b"", f"nc {address} 7001 </tmp/blob; rm /tmp/blob")
    assert hashlib.sha256(back).hexdigest() == digest


def _serve_once(pair: Pair, address: str, send: bytes, command: str) -> bytes:
    """Listen on our inner address, send one caller the bytes, return all it says."""
    heard = bytearray()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with pair.ours.namespace.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.settimeout(30)
        listener.bind((address, 7001))
        listener.listen(1)

        def serve() -> None:
            caller, _ = listener.accept()
            with caller:
                caller.settimeout(30)
                if send:
                    caller.sendall(send)
                    caller.shutdown(socket.SHUT_WR)
                while data := caller.recv(1 << 16):
                    heard.extend(data)

        thread = threading.Thread(target=serve)
        thread.start()
        pair.theirs.guest.run(command)
        thread.join()
    return bytes(heard)


def test_their_new_key_is_taken_at_once(pair: Pair) -> None:
    pair.introduce("ours")
    pair.ping_from("ours")
    old = pair.theirs.keys.public
    pair.theirs.set_key(KeyPair.generate())
    pair.ours.peer(old, "remove")
    pair.introduce("ours")
    pair.ping_from("ours")
    pair.ping_from("kernel")


def test_our_new_key_is_taken_at_once(pair: Pair) -> None:
    pair.introduce("ours")
    pair.ping_from("ours")
    old = pair.ours.keys.public
    pair.ours.set_key(KeyPair.generate())
    pair.theirs.set(f"peer {old} remove")
    pair.introduce("ours")
    pair.ping_from("ours")
    pair.ping_from("kernel")


def test_they_follow_our_new_port(pair: Pair) -> None:
    pair.introduce("ours")
    pair.ping_from("ours")
    pair.ours.set("listen-port", "9999")
    pair.ping_from("ours")
    endpoint = pair.theirs.shown("endpoints", pair.ours.keys.public)
    assert endpoint == f"{pair.sides.host4}:9999"


def test_we_follow_their_new_port(pair: Pair) -> None:
    pair.introduce("kernel")
    pair.ping_from("kernel")
    pair.theirs.set("listen-port 9998")
    pair.ping_from("kernel")
    endpoint = pair.ours.shown("endpoints", pair.theirs.keys.public)
    assert endpoint == f"{pair.sides.guest4}:9998"


@pytest.mark.parametrize("sender", ["ours", "kernel"])
def test_persistent_keepalives_arrive(pair: Pair, sender: str) -> None:
    pair.introduce(sender)
    if sender == "ours":
        pair.ours.peer(pair.theirs.keys.public, "persistent-keepalive", "1")
    else:
        pair.theirs.peer(pair.ours.keys.public, "persistent-keepalive 1")

    def received() -> int:
        if sender == "ours":
            return pair.theirs.transfer(pair.ours.keys.public)[0]
        return pair.ours.transfer(pair.theirs.keys.public)[0]

    eventually("a handshake and three keepalives", lambda: received() >= 148 + 3 * 32, 6)


@pytest.mark.slow
@pytest.mark.parametrize("initiator", ["ours", "kernel"])
def test_a_rekey_loses_no_ping(pair: Pair, initiator: str) -> None:
    pair.introduce(initiator)
    pair.ping_from(initiator)
    first = pair.handshake_times()
    pings = _steady_pings(pair)
    time.sleep(REKEY_SECONDS)
    assert "0% packet loss" in pings.communicate(timeout=30)[0]
    ours, theirs = (b - a for a, b in zip(first, pair.handshake_times(), strict=True))
    assert 118 <= ours <= 128
    assert 118 <= theirs <= 128


def _steady_pings(pair: Pair) -> subprocess.Popen[str]:
    count = str(REKEY_SECONDS * 5)
    return pair.ours.namespace.start("ping", "-n", "-q", "-i", "0.2", "-c", count, THEIRS4)
