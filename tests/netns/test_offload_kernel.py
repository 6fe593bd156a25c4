"""Splitting and coalescing against the real kernel, through TUN devices with a vnet header.

What the kernel cuts is what we joined, what it hands down large is cut as its twin says, and TCP
between two kernels arrives whole through both.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

import pytest

from kubespan.linux.tun import Offload, Tun, create_tun
from tests.fastpath import naive_offload as naive
from tests.fastpath.inner_packet import Inner, stream
from tests.fastpath.naive_offload import GSO_NONE, JOIN_TCP, JOIN_UDP, TCP, UDP, VnetHeader, put16
from tests.fastpath.offload_library import OffloadLibrary
from tests.netns.lab import Laboratory
from tests.netns.namespace import Namespace, unique_name

pytestmark = pytest.mark.netns

BOTH = JOIN_TCP | JOIN_UDP
MTU = 1500
FRAME = 10 + 65535
READ_TIMEOUT = 2.0
KINDS = [(4, TCP), (6, TCP), (4, UDP), (6, UDP)]
SOL_UDP, UDP_SEGMENT = 17, 103

every_kind = pytest.mark.parametrize(("version", "protocol"), KINDS, ids=["t4", "t6", "u4", "u6"])


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> OffloadLibrary:
    return OffloadLibrary(tmp_path_factory.mktemp("offload"))


@pytest.fixture
def descriptors() -> Iterator[list[int]]:
    """Descriptors to close at the end."""
    opened: list[int] = []
    yield opened
    for descriptor in opened:
        os.close(descriptor)


def open_tun(namespace: Namespace, descriptors: list[int], *, offload: bool) -> Tun:
    """A TUN that is up in the namespace; skips where the kernel knows no USO."""
    tun = namespace.inside(lambda: create_tun(unique_name("o"), mtu=MTU))
    descriptors.append(tun.descriptor)
    if offload and not tun.set_offloads() & Offload.USO6:
        pytest.skip("this kernel's TUN does not segment UDP")
    namespace.ip("link", "set", tun.name, "up")
    return tun


def forwarding(lab: Laboratory) -> Namespace:
    """A namespace that passes packets from one of its interfaces to another."""
    namespace = lab.namespace("offload")
    namespace.sysctl("net/ipv4/ip_forward", 1)
    namespace.sysctl("net/ipv6/conf/all/forwarding", 1)
    return namespace


def route(namespace: Namespace, tun: Tun, number: int) -> None:
    """Lead packets for the addresses of Inner, source 1 or destination 2, to the device."""
    namespace.ip("route", "add", f"10.0.0.{number}/32", "dev", tun.name)
    namespace.ip("-6", "route", "add", f"fd00::{number}/128", "dev", tun.name)


def read_frame(tun: Tun) -> bytes:
    """The next frame with TCP or UDP to the destination of Inner."""
    while select.select([tun.descriptor], [], [], READ_TIMEOUT)[0]:
        frame = os.read(tun.descriptor, FRAME)
        if frame[10] >> 4 == 4 or frame[16] in (TCP, UDP):
            return frame
    raise AssertionError("the kernel passed nothing on")


def one_hop_on(packet: bytes) -> bytes:
    """The packet after a router."""
    passed = bytearray(packet)
    if packet[0] >> 4 == 6:
        passed[7] -= 1
        return bytes(passed)
    passed[8] -= 1
    put16(passed, 10, 0)
    put16(passed, 10, naive.checksum(passed[:20]))
    return bytes(passed)


@every_kind
def test_the_kernel_cuts_a_joined_packet_into_what_was_joined(
    lab: Laboratory, library: OffloadLibrary, descriptors: list[int], version: int, protocol: int
) -> None:
    namespace = forwarding(lab)
    ours = open_tun(namespace, descriptors, offload=True)
    theirs = open_tun(namespace, descriptors, offload=False)
    route(namespace, ours, 1)
    route(namespace, theirs, 2)
    packets = stream(
        Inner(version=version, protocol=protocol, options=bytes([1] * 12)), 40, 1300, 9
    )
    (write,) = library.coalesce(packets, BOTH)
    assert os.write(ours.descriptor, write.frame) == len(write.frame)
    passed = [read_frame(theirs) for _ in packets]
    assert passed == [bytes(10) + one_hop_on(packet) for packet in packets]


@every_kind
def test_a_large_packet_from_the_kernel_is_cut_into_what_was_joined(
    lab: Laboratory, library: OffloadLibrary, descriptors: list[int], version: int, protocol: int
) -> None:
    namespace = forwarding(lab)
    ours = open_tun(namespace, descriptors, offload=True)
    theirs = open_tun(namespace, descriptors, offload=True)
    route(namespace, ours, 1)
    route(namespace, theirs, 2)
    packets = stream(Inner(version=version, protocol=protocol), 40, 1300, 9)
    (write,) = library.coalesce(packets, BOTH)
    os.write(ours.descriptor, write.frame)
    frame = read_frame(theirs)
    assert VnetHeader.parse(frame).gso_type != GSO_NONE
    assert library.split(frame) == [one_hop_on(packet) for packet in packets]


@pytest.mark.parametrize("count", [1, 512])
def test_the_kernel_takes_the_longest_list_of_slices(
    lab: Laboratory, library: OffloadLibrary, descriptors: list[int], count: int
) -> None:
    namespace = forwarding(lab)
    ours = open_tun(namespace, descriptors, offload=True)
    theirs = open_tun(namespace, descriptors, offload=True)
    route(namespace, ours, 1)
    route(namespace, theirs, 2)
    packets = stream(Inner(), count, 40)
    (write,) = library.coalesce(packets, BOTH)
    os.write(ours.descriptor, write.frame)
    assert library.split(read_frame(theirs)) == [one_hop_on(packet) for packet in packets]


@dataclass
class Relay:
    """Carries packets between two TUNs as a tunnel would: cut, then join, both ways."""

    native: OffloadLibrary
    ends: tuple[Tun, Tun]
    cut: int = 0
    joined: int = 0
    differing: list[bytes] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="relay")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    def _run(self) -> None:
        here, there = self.ends
        while not self._stop.is_set():
            select.select([here.descriptor, there.descriptor], [], [], 0.05)
            self._carry(here, there)
            self._carry(there, here)

    def _carry(self, source: Tun, target: Tun) -> None:
        packets: list[bytes] = []
        with suppress(BlockingIOError):
            while len(packets) < 200:
                frame = os.read(source.descriptor, FRAME)
                parts = self.native.split(frame)
                if parts != naive.split(frame):
                    self.differing.append(frame)
                self.cut += len(parts) > 1
                packets += parts
        for write in self.native.coalesce(packets, BOTH):
            self.joined += write.packets > 1
            try:
                os.write(target.descriptor, write.frame)
            except OSError:
                self.refused.append(write.frame)


@pytest.fixture
def relay(
    lab: Laboratory, library: OffloadLibrary, descriptors: list[int]
) -> Iterator[tuple[Namespace, Namespace, Relay]]:
    """Two hosts, 10.9.0.1 and fd09::1 on the left, 2 on the right."""
    left, right = lab.namespace("left"), lab.namespace("right")
    ends = []
    for number, namespace in ((1, left), (2, right)):
        tun = open_tun(namespace, descriptors, offload=True)
        namespace.address(tun.name, f"10.9.0.{number}/24", f"fd09::{number}/64")
        ends.append(tun)
    with Relay(library, (ends[0], ends[1])) as running:
        yield left, right, running


FAMILIES = pytest.mark.parametrize(
    ("family", "address"),
    [(socket.AF_INET, "10.9.0.2"), (socket.AF_INET6, "fd09::2")],
    ids=["ipv4", "ipv6"],
)


@FAMILIES
def test_tcp_between_two_kernels_arrives_whole(
    relay: tuple[Namespace, Namespace, Relay], family: int, address: str
) -> None:
    left, right, carrier = relay
    data = os.urandom(1 << 20) * 4
    with right.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((address, 5000))
        listener.listen()
        with left.socket(family, socket.SOCK_STREAM) as sender:
            sender.settimeout(10)
            sender.connect((address, 5000))
            receiver, _ = listener.accept()
            thread = threading.Thread(target=sender.sendall, args=(data,))
            thread.start()
            with receiver:
                receiver.settimeout(10)
                received = bytearray()
                while len(received) < len(data) and (chunk := receiver.recv(1 << 16)):
                    received += chunk
            thread.join()
    assert received == data
    assert (carrier.differing, carrier.refused) == ([], [])
    assert carrier.cut > 10
    assert carrier.joined > 10
    assert bad_checksums(right) == bad_checksums(left) == 0


@FAMILIES
def test_segmented_udp_between_two_kernels_arrives_whole(
    relay: tuple[Namespace, Namespace, Relay], family: int, address: str
) -> None:
    left, right, carrier = relay
    sizes = [1000] * 20 + [77]
    with right.socket(family, socket.SOCK_DGRAM) as receiver:
        receiver.bind((address, 5000))
        receiver.settimeout(5)
        with left.socket(family, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
            data = os.urandom(sum(sizes))
            sender.sendto(data, (address, 5000))
        datagrams = [receiver.recv(2000) for _ in sizes]
    assert [len(datagram) for datagram in datagrams] == sizes
    assert b"".join(datagrams) == data
    assert (carrier.differing, carrier.refused) == ([], [])
    assert carrier.cut == carrier.joined == 1


def bad_checksums(namespace: Namespace) -> int:
    """How many TCP segments the kernel threw away for their checksum."""
    lines = namespace.run("cat", "/proc/net/snmp").splitlines()
    names, values = (line.split() for line in lines if line.startswith("Tcp:"))
    return int(dict(zip(names, values, strict=True))["InCsumErrors"])
