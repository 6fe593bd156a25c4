"""Native threads as lanes: what they hand up, what they count, and what variables ask of them."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

import pytest
import pytest_asyncio

from kubespan import fastpath
from kubespan.device import threads
from kubespan.device.bind import Sockets, open_sockets
from kubespan.device.threads import UPCALLS_A_TURN, Threads
from kubespan.fastpath import Upcall, UpcallKind
from kubespan.linux.tun import Offload, Tun
from kubespan.model.address import Arrival, Endpoint, Prefix
from tests.device.hearing import Cable, Notebook, eventually

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.native,
    pytest.mark.skipif(not fastpath.NATIVE, reason="this is the pure build"),
]

LOOPBACK = ip_address("127.0.0.1")
ARRIVAL = Arrival(Endpoint(LOOPBACK, 1), None)
HEAD = bytes.fromhex("4500001c 00010000 40fd0000 0a000001")
KNOWN = HEAD + bytes((10, 0, 0, 2)) + b"12345678"
UNKNOWN = HEAD + bytes((11, 0, 0, 2)) + b"12345678"


@dataclass
class Desk:
    cable: Cable
    notebook: Notebook
    threads: Threads
    sockets: Sockets


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    cable, notebook, sockets = Cable(), Notebook(), open_sockets(0, 0)
    path = fastpath.create_path()
    path.publish_routes([(Prefix.parse("10.0.0.0/8"), path.create_slot())])
    one = Desk(cable, notebook, Threads(cable.tun, path, notebook), sockets)
    yield one
    one.threads.close()
    sockets.close()
    cable.close()


class SpentLanes:
    """Lanes whose upcalls are known beforehand."""

    upcall_fd = -1

    def __init__(self, upcalls: Iterable[Upcall]) -> None:
        self.upcalls = list(upcalls)

    def drain(self, limit: int) -> list[Upcall]:
        drained, self.upcalls = self.upcalls[:limit], self.upcalls[limit:]
        return drained


def upcall(kind: UpcallKind, payload: bytes = b"", value: int = 0) -> Upcall:
    arrival = ARRIVAL if kind is UpcallKind.HANDSHAKE else None
    return Upcall(kind=kind, payload=payload, arrival=arrival, queued=3, value=value)


UPCALLS = [
    (upcall(UpcallKind.OUTBOUND, b"out"), ("packet", b"out")),
    (upcall(UpcallKind.NO_PEER, b"lost"), ("unroutable", b"lost")),
    (upcall(UpcallKind.HANDSHAKE, b"\x01"), ("datagram", b"\x01", ARRIVAL, 3, False)),
    (upcall(UpcallKind.CONFIRMED, value=7), ("confirmed", 7)),
    (upcall(UpcallKind.REKEY_DUE, value=8), ("rekey due", 8)),
    (upcall(UpcallKind.DEVICE_GONE, value=errno.EBADFD), ("gone",)),
]


@pytest.mark.parametrize(("one", "heard"), UPCALLS)
async def test_every_upcall_has_its_hearer(
    desk: Desk, one: Upcall, heard: tuple[object, ...]
) -> None:
    desk.threads._hear(one)
    assert desk.notebook.heard == [heard]


async def test_packets_without_session_and_without_peer_come_up(desk: Desk) -> None:
    desk.threads.attend(desk.sockets)
    for packet in (KNOWN, UNKNOWN):
        desk.cable.system.send(packet)
    await eventually("both", lambda: len(desk.notebook.heard) == 2)
    assert sorted(desk.notebook.heard) == [("packet", KNOWN), ("unroutable", UNKNOWN)]


async def test_a_turn_is_bounded_and_nothing_is_left(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 2 * UPCALLS_A_TURN + 1
    spent = SpentLanes(upcall(UpcallKind.CONFIRMED, value=n) for n in range(count))
    monkeypatch.setattr(desk.threads, "_lanes", spent)
    desk.threads._drain()
    assert len(desk.notebook.heard) == UPCALLS_A_TURN
    await eventually("the rest", lambda: not spent.upcalls)
    monkeypatch.setattr(desk.threads, "_lanes", None)
    assert desk.notebook.heard == [("confirmed", n) for n in range(count)]


async def test_signals_in_a_flood_start_no_further_drains(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    flood = SpentLanes(upcall(UpcallKind.CONFIRMED, value=n) for n in range(1000))
    monkeypatch.setattr(desk.threads, "_lanes", flood)
    for turn in range(1, 6):
        for _ in range(20):
            desk.threads._drain()
        assert len(desk.notebook.heard) == turn * UPCALLS_A_TURN
        await asyncio.sleep(0)
    monkeypatch.setattr(desk.threads, "_lanes", None)


async def test_once_the_device_is_gone_nothing_is_attended(desk: Desk) -> None:
    desk.threads._hear(upcall(UpcallKind.DEVICE_GONE))
    desk.threads.attend(desk.sockets)
    desk.cable.system.send(KNOWN)
    await asyncio.sleep(0.02)
    assert desk.cable.tun.read() == KNOWN


def heard(desk: Desk, count: int) -> bool:
    return len(desk.notebook.heard) == count


async def test_counters_go_on_over_restarts(desk: Desk) -> None:
    assert desk.threads.counters() == {}
    for round_ in (1, 2, 3):
        desk.threads.attend(desk.sockets)
        desk.cable.system.send(UNKNOWN)
        await eventually("the upcall", partial(heard, desk, round_))
        assert desk.threads.counters()["drop_no_peer"] == round_
    desk.threads.attend(None)
    assert desk.threads.counters()["drop_no_peer"] == 3


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_as_many_threads_as_there_are_to_be(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(fastpath, "thread_count", lambda: count)
    assert desk.threads._options(desk.sockets).threads == count


@pytest.mark.parametrize("may_offload", [True, False])
async def test_offloads_unless_the_variable_says_no(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, may_offload: bool
) -> None:
    everything = Offload.TSO6 | Offload.USO6
    monkeypatch.setattr(threads, "MAY_OFFLOAD", may_offload)
    monkeypatch.setattr(Tun, "set_offloads", lambda _: everything)
    one = Threads(desk.cable.tun, fastpath.create_path(), desk.notebook)
    options = one._options(desk.sockets)
    given = (options.segment, options.tcp_offload, options.udp_offload)
    assert given == (may_offload,) * 3


async def test_descriptors_are_those_of_the_sockets(desk: Desk) -> None:
    only4 = Sockets(desk.sockets.port, desk.sockets.ipv4, ())
    options = desk.threads._options(only4)
    assert (options.ipv4_fds, options.ipv6_fds) == ((only4.ipv4[0].fileno(),), ())
    assert options.tun_fd == desk.cable.tun.descriptor
    assert options.tun_queues == (options.tun_fd,)
