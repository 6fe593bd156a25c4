"""An independent decoder reads our messages, when the key log gives it what it needs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kubespan.device.keylog import VARIABLE, KeyLog
from kubespan.model.keys import PresharedKey
from kubespan.testing.simnet import Transmission
from tests.interop.pcap import Seen, write_pcap
from tests.netns.capture import Capture, Datagram
from tests.netns.lab import Laboratory, eventually
from tests.netns.namespace import run, unique_name
from tests.netns.topology import LEFT_PORT, RIGHT_PORT, two_hosts
from tests.peers import kubespan_wg, need, wireguard_go
from tests.simulated.pair import Pair as SimulatedPair

pytestmark = pytest.mark.interop

INITIATION, RESPONSE, TRANSPORT = "1", "2", "4"
BROKEN = ("wg.decryption_error", "wg.bad_packet_length", "_ws.malformed")
FULL = 32 + 1420
NO_MAC2 = ":".join(["00"] * 16)


class Frame(dict[str, str]):
    """The fields of one captured datagram that tshark understood, by their names."""


def dissect(capture: Path, keys: Path) -> list[Frame]:
    """Return what tshark makes of every datagram, given the key log."""
    words = ["-r", str(capture), "-o", f"wg.keylog_file:{keys}", "-T", "json"]
    for port in (LEFT_PORT, RIGHT_PORT):
        words += ["-d", f"udp.port=={port},wg"]
    packets = json.loads(run("tshark", *words, "--no-duplicate-keys"))
    return [_frame(packet["_source"]["layers"]) for packet in packets]


def _frame(layers: dict[str, Any]) -> Frame:
    fields: Frame = Frame()

    def gather(tree: Any) -> None:
        for name, value in tree.items():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict):
                    fields[name] = ""
                    gather(one)
                else:
                    fields[name] = one

    gather(layers)
    return fields


def check_handshake(frames: list[Frame], initiator: str, responder: str) -> None:
    """The first two messages open, belong together, and carry right macs."""
    initiation, response = frames[:2]
    assert [frame["wg.type"] for frame in (initiation, response)] == [INITIATION, RESPONSE]
    for frame, receiver in ((initiation, responder), (response, initiator)):
        assert frame["wg.reserved"] == "00:00:00"
        # Shown only for the public key under which mac1 is right.
        assert frame["wg.receiver_pubkey"] == receiver
        assert frame["wg.mac2"] == NO_MAC2
        assert frame["wg.sender"] != "0x00000000"
    assert initiation["wg.static"] == initiator
    assert int(initiation["wg.timestamp.nanoseconds"]) % (1 << 24) == 0
    assert response["wg.receiver"] == initiation["wg.sender"]
    assert response["wg.handshake_ok"] in ("1", "True")


def check_transport(frames: list[Frame]) -> None:
    """All data opens, is padded, and is numbered without gaps in each direction."""
    indices = {frame["wg.sender"] for frame in frames[:2]}
    data = frames[2:]
    assert {frame["wg.type"] for frame in data} == {TRANSPORT}
    assert not [frame for frame in frames for sign in BROKEN if sign in frame]
    assert {frame["wg.receiver"] for frame in data} == indices
    sizes = {int(frame["udp.length"]) - 8 for frame in data}
    assert all(size % 16 == 0 or size == FULL for size in sizes)
    for index in indices:
        counters = [int(frame["wg.counter"]) for frame in data if frame["wg.receiver"] == index]
        assert counters == list(range(len(counters)))


def echoes(frames: list[Frame]) -> Counter[tuple[str, str]]:
    """Count the ICMP messages inside by the receiver's index and their type."""
    return Counter(
        (frame["wg.receiver"], frame.get("icmp.type") or frame.get("icmpv6.type") or "")
        for frame in frames
        if "icmp.type" in frame or "icmpv6.type" in frame
    )


# ---------------------------------------------------------------- in virtual time


@pytest.mark.parametrize("is_preshared", [False, True], ids=["plain", "preshared"])
def test_it_reads_a_virtual_session(tmp_path: Path, is_preshared: bool) -> None:
    need("tshark")
    pair = SimulatedPair()
    if is_preshared:
        pair.alice.interface.set_preshared_key(pair.bob_at_alice, PresharedKey(bytes(range(32))))
        pair.bob.interface.set_preshared_key(pair.alice_at_bob, PresharedKey(bytes(range(32))))
    log = KeyLog(tmp_path / "keys")
    pair.alice.interface._surroundings.key_log = log.record
    for _ in range(3):
        pair.ping()
    write_pcap(tmp_path / "tap.pcap", map(_seen, pair.net.tap))
    frames = dissect(tmp_path / "tap.pcap", log.path)
    check_handshake(
        frames, str(pair.alice.interface.public_key), str(pair.bob.interface.public_key)
    )
    check_transport(frames)
    assert sorted(echoes(frames).values()) == [3, 3]
    log.close()


def _seen(transmission: Transmission) -> Seen:
    sender, receiver = transmission.sender, transmission.receiver
    return Seen(
        transmission.at,
        (str(sender.address), sender.port),
        (str(receiver.address), receiver.port),
        transmission.datagram,
    )


# ---------------------------------------------------------------- on a real wire


@pytest.mark.netns
@pytest.mark.parametrize("outer", [4, 6], ids=["outer4", "outer6"])
@pytest.mark.parametrize("initiator", ["ours", "theirs"])
def test_it_reads_a_session_with_wireguard_go(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch, initiator: str, outer: int
) -> None:
    need("tshark")
    keys = lab.folder / "keys"
    monkeypatch.setenv(VARIABLE, str(keys))
    pair = two_hosts(lab, kubespan_wg(), wireguard_go(), outer)
    preshared = run("wg", "genpsk")
    pair.left.peer(pair.right.keys.public, preshared=preshared)
    pair.right.peer(pair.left.keys.public, preshared=preshared)
    first, second = (pair.left, pair.right) if initiator == "ours" else (pair.right, pair.left)
    pair.up()
    with Capture(pair.left.namespace, "wire0") as capture:
        for inner in (second.inner4, second.inner6):
            first.namespace.ping(inner, count=3)
        first.namespace.ping(second.inner4, size=1392)
        eventually("the last echo on the wire", lambda: len(capture.datagrams()) >= 2 + 14)
    write_pcap(lab.folder / "wire.pcap", map(_captured, capture.datagrams()))
    frames = dissect(lab.folder / "wire.pcap", keys)
    check_handshake(frames, first.keys.public, second.keys.public)
    check_transport(frames)
    assert sorted(echoes(frames).values()) == [3, 3, 4, 4]


@pytest.mark.netns
def test_the_key_log_is_loud(lab: Laboratory) -> None:
    keys = lab.folder / "keys"
    tunnel = lab.tunnel(kubespan_wg(), lab.namespace("alone"))
    tunnel.start_in_foreground(**{VARIABLE: str(keys), "LOG_LEVEL": "error"})
    eventually("a warning that names the file", lambda: str(keys) in tunnel.log())


@pytest.mark.netns
def test_the_key_log_is_off_by_default(lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    pair = two_hosts(lab, kubespan_wg(), kubespan_wg())
    pair.up()
    pair.ping()
    assert VARIABLE not in pair.left.log() + pair.right.log()


@pytest.mark.netns
def test_a_key_log_that_cannot_be_opened_stops_the_start(lab: Laboratory) -> None:
    nowhere = str(lab.folder / "no-such-folder" / "keys")
    words = ("env", f"{VARIABLE}={nowhere}", str(kubespan_wg().path), "-f", unique_name("w"))
    process = lab.namespace("alone").start(*words)
    said, _ = process.communicate(timeout=10)
    assert process.returncode == 1
    assert nowhere in said


def _captured(datagram: Datagram) -> Seen:
    packet = datagram.packet
    return Seen(
        packet.at,
        (packet.source, datagram.source_port),
        (packet.destination, datagram.destination_port),
        datagram.payload,
    )
