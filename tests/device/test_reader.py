"""Reading on the event loop: who hears what, in which order, and what is not kept waiting."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address

import pytest

from kubespan.device.bind import Sockets, open_sockets
from kubespan.device.lanes import Lanes
from kubespan.device.reader import BATCH, HANDSHAKES_A_TURN, Readers
from kubespan.linux.tun import Tun
from kubespan.model.address import Arrival, Endpoint
from kubespan.model.constants import HANDSHAKE_QUEUE
from tests.device.hearing import Cable, Notebook, eventually

LOOPBACK = ip_address("127.0.0.1")
TRANSPORT = b"\4"
pytestmark = pytest.mark.asyncio


@pytest.fixture
def cable() -> Iterator[Cable]:
    with closing(Cable()) as made:
        yield made


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    with closing(open_sockets(0, 0)) as made:
        yield made


@pytest.fixture
def peer() -> Iterator[Sockets]:
    with closing(open_sockets(0, 0)) as made:
        yield made


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


def send(peer: Sockets, sockets: Sockets, *datagrams: bytes, host: str = "127.0.0.1") -> None:
    for datagram in datagrams:
        peer.send(datagram, Endpoint(ip_address(host), sockets.port), None, 0)


def datagrams(notebook: Notebook) -> list[bytes]:
    return [entry[1] for entry in notebook.heard if entry[0] == "datagram"]


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_packets_are_heard(cable: Cable, sockets: Sockets, notebook: Notebook) -> None:
    readers: Lanes = Readers(cable.tun, notebook)
    cable.system.send(b"before")
    await turns()
    assert notebook.heard == []
    readers.attend(sockets)
    cable.system.send(b"after")
    await eventually("both are heard", lambda: len(notebook.heard) == 2)
    readers.close()
    assert notebook.heard == [("packet", b"before"), ("packet", b"after")]
    assert (readers.implementation, readers.counters()) == ("pure", {})
    assert (readers.merges, readers.sorts) == (False, False)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_datagrams_are_heard(
    cable: Cable, sockets: Sockets, peer: Sockets, notebook: Notebook, host: str
) -> None:
    readers = Readers(cable.tun, notebook)
    readers.attend(sockets)
    send(peer, sockets, TRANSPORT + b"data", b"\1hello", b"", host=host)
    await eventually("all are heard", lambda: len(notebook.heard) == 3)
    readers.close()
    assert datagrams(notebook) == [TRANSPORT + b"data", b"\1hello", b""]
    for _, _, arrival, _, congestion in notebook.heard:
        assert isinstance(arrival, Arrival)
        assert arrival.endpoint == Endpoint(ip_address(host), peer.port)
        assert arrival.source is not None
        assert arrival.source.address == ip_address(host)
        assert congestion is False


async def test_congestion_is_handed_on(
    cable: Cable, sockets: Sockets, peer: Sockets, notebook: Notebook
) -> None:
    readers = Readers(cable.tun, notebook)
    readers.attend(sockets)
    peer.send(TRANSPORT, Endpoint(LOOPBACK, sockets.port), None, 3)
    await eventually("it is heard", lambda: notebook.heard)
    readers.close()
    assert notebook.heard[0][4] is True


async def test_handshakes_wait_behind_data_and_in_order(
    cable: Cable, sockets: Sockets, peer: Sockets, notebook: Notebook
) -> None:
    readers = Readers(cable.tun, notebook)
    handshakes = [b"\1%d" % number for number in range(HANDSHAKES_A_TURN + 3)]
    send(peer, sockets, *handshakes, TRANSPORT)
    readers.attend(sockets)
    await eventually("all are heard", lambda: len(notebook.heard) == len(handshakes) + 1)
    readers.close()
    assert datagrams(notebook) == [TRANSPORT, *handshakes]
    waiting = len(handshakes)
    assert [entry[3] for entry in notebook.heard] == [waiting, *reversed(range(waiting))]


async def test_a_flood_of_handshakes_is_handled_a_few_a_turn(
    cable: Cable, sockets: Sockets, peer: Sockets, notebook: Notebook
) -> None:
    readers = Readers(cable.tun, notebook)
    send(peer, sockets, *[b"\1"] * BATCH)
    readers.attend(sockets)
    seen = 0
    while seen < BATCH:
        await asyncio.sleep(0)
        assert len(notebook.heard) - seen <= HANDSHAKES_A_TURN
        seen = len(notebook.heard)
    readers.close()


async def test_the_queue_of_handshakes_is_bounded(
    cable: Cable, sockets: Sockets, peer: Sockets, notebook: Notebook
) -> None:
    readers = Readers(cable.tun, notebook)
    (one,) = sockets.ipv4
    for number in range(HANDSHAKE_QUEUE + 5):
        send(peer, sockets, b"\1%d" % number)
        readers._read(one)
    send(peer, sockets, TRANSPORT)
    readers._read(one)
    assert [entry[0] for entry in notebook.heard] == ["overflow"] * 5 + ["datagram"]
    assert notebook.heard[-1][3] == HANDSHAKE_QUEUE
    await eventually("the queue is empty", lambda: len(notebook.heard) == HANDSHAKE_QUEUE + 6)
    assert datagrams(notebook)[-1] == b"\1%d" % (HANDSHAKE_QUEUE - 1)
    readers.close()


async def test_after_the_end_nothing_is_heard(
    cable: Cable, sockets: Sockets, peer: Sockets, notebook: Notebook
) -> None:
    readers = Readers(cable.tun, notebook)
    readers.attend(sockets)
    (one,) = sockets.ipv4
    send(peer, sockets, b"\1")
    readers._read(one)
    readers.close()
    send(peer, sockets, b"\1", TRANSPORT)
    cable.system.send(b"packet")
    await turns()
    assert notebook.heard == []


async def test_other_sockets_take_over(
    cable: Cable, sockets: Sockets, peer: Sockets, notebook: Notebook
) -> None:
    readers = Readers(cable.tun, notebook)
    readers.attend(sockets)
    with closing(open_sockets(0, 0)) as others:
        readers.attend(others)
        send(peer, sockets, TRANSPORT + b"old")
        send(peer, others, TRANSPORT + b"new")
        cable.system.send(b"packet")
        await eventually("both are heard", lambda: len(notebook.heard) == 2)
        await turns()
        readers.attend(None)
    assert datagrams(notebook) == [TRANSPORT + b"new"]
    readers.close()


async def test_others_have_their_turn_between_batches(
    cable: Cable, sockets: Sockets, peer: Sockets, notebook: Notebook
) -> None:
    readers = Readers(cable.tun, notebook)
    send(peer, sockets, *[TRANSPORT] * (BATCH + 1))
    (one,) = sockets.ipv4
    readers._read(one)
    assert len(notebook.heard) == BATCH
    readers._read(one)
    assert len(notebook.heard) == BATCH + 1


@pytest.mark.parametrize(("number", "gone"), [(errno.EBADFD, 1), (errno.EIO, 0)])
async def test_a_device_that_fails(
    cable: Cable,
    sockets: Sockets,
    notebook: Notebook,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    gone: int,
) -> None:
    def fail(tun: Tun) -> bytes:
        failures.append(number)
        raise OSError(number, os.strerror(number))

    failures: list[int] = []
    readers = Readers(cable.tun, notebook)
    monkeypatch.setattr(Tun, "read", fail)
    readers.attend(sockets)
    cable.system.send(b"packet")
    await eventually("it was read", lambda: failures)
    await turns()
    readers.close()
    assert notebook.heard == [("gone",)] * gone
    assert len(failures) == 1 or not gone


async def test_a_device_with_offloads_is_told_to_stop_them(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleared: list[Tun] = []

    def clear(tun: Tun) -> None:
        cleared.append(tun)

    monkeypatch.setattr(Tun, "clear_offloads", clear)
    tun = Tun(99, has_vnet_header=True)
    Readers(tun, notebook)
    assert cleared == [tun]
