"""What a device relies on in lanes of either kind: readers on the event loop, native threads."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from ipaddress import ip_address

import pytest
import pytest_asyncio

from kubespan import fastpath
from kubespan.device.bind import Sockets, open_sockets
from kubespan.device.lanes import Lanes
from kubespan.device.reader import Readers
from kubespan.device.threads import Threads
from kubespan.model.address import Endpoint, Prefix
from tests.device.hearing import Cable, Notebook, eventually

pytestmark = pytest.mark.asyncio

LOOPBACK = ip_address("127.0.0.1")
PACKET = bytes.fromhex("4500001c 00010000 40fd0000 0a000001 0a000002") + b"12345678"
INITIATION = b"\x01" + bytes(147)


@dataclass
class Lane:
    """Lanes of one kind with all that they need, and a peer without a session."""

    cable: Cable
    notebook: Notebook
    lanes: Lanes
    first: Sockets
    second: Sockets

    def send_from(self, sender: Sockets, to: Sockets) -> None:
        sender.send(INITIATION, Endpoint(LOOPBACK, to.port), None, 0)

    def heard(self, kind: str) -> list[bytes]:
        return [entry[1] for entry in self.notebook.heard if entry[0] == kind]


def readers(cable: Cable, notebook: Notebook) -> Lanes:
    return Readers(cable.tun, notebook)


def threads(cable: Cable, notebook: Notebook) -> Lanes:
    path = fastpath.create_path()
    path.publish_routes([(Prefix.parse("10.0.0.0/8"), path.create_slot())])
    return Threads(cable.tun, path, notebook)


without_native = pytest.mark.skipif(not fastpath.NATIVE, reason="this is the pure build")
KINDS = [
    pytest.param(readers, id="readers"),
    pytest.param(threads, id="threads", marks=[pytest.mark.native, without_native]),
]


@pytest_asyncio.fixture(params=KINDS)
async def lane(request: pytest.FixtureRequest) -> AsyncIterator[Lane]:
    make: Callable[[Cable, Notebook], Lanes] = request.param
    cable, notebook = Cable(), Notebook()
    sockets = (open_sockets(0, 0), open_sockets(0, 0))
    one = Lane(cable, notebook, make(cable, notebook), *sockets)
    yield one
    one.lanes.close()
    for pair in sockets:
        pair.close()
    cable.close()


async def test_a_packet_that_came_before_is_heard_when_attending(lane: Lane) -> None:
    lane.lanes.attend(None)
    lane.cable.system.send(PACKET)
    await asyncio.sleep(0.02)
    assert lane.notebook.heard == []
    lane.lanes.attend(lane.first)
    await eventually("the packet", lambda: lane.heard("packet"))
    assert lane.heard("packet") == [PACKET]


@pytest.mark.parametrize("end", ["attend", "close"])
async def test_what_comes_afterwards_waits(lane: Lane, end: str) -> None:
    lane.lanes.attend(lane.first)
    if end == "attend":
        lane.lanes.attend(None)
    else:
        lane.lanes.close()
    lane.cable.system.send(PACKET)
    lane.send_from(lane.second, lane.first)
    await asyncio.sleep(0.02)
    assert lane.notebook.heard == []
    assert lane.cable.tun.read() == PACKET


async def test_a_datagram_is_heard_with_where_it_came_from(lane: Lane) -> None:
    lane.lanes.attend(lane.first)
    lane.send_from(lane.second, lane.first)
    await eventually("the datagram", lambda: lane.notebook.heard)
    ((kind, datagram, arrival, queued, congestion),) = lane.notebook.heard
    assert (kind, datagram, queued, congestion) == ("datagram", INITIATION, 0, False)
    assert arrival.endpoint == Endpoint(LOOPBACK, lane.second.port)
    assert arrival.source.address == LOOPBACK


async def test_other_sockets_are_served_instead_and_the_old_ones_may_be_closed(lane: Lane) -> None:
    lane.lanes.attend(lane.first)
    lane.lanes.attend(lane.second)
    lane.first.close()
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        lane.first.open[0].getsockname()
    assert caught.value.errno == errno.EBADF
    lane.send_from(lane.second, lane.second)
    await eventually("the datagram", lambda: lane.heard("datagram"))
    lane.cable.system.send(PACKET)
    await eventually("the packet", lambda: lane.heard("packet"))


async def test_closing_twice_is_closing(lane: Lane) -> None:
    lane.lanes.attend(lane.first)
    for _ in range(2):
        lane.lanes.close()
    lane.cable.system.send(PACKET)
    assert lane.cable.tun.read() == PACKET


async def test_each_kind_says_which_it_is(lane: Lane) -> None:
    expected = "native" if isinstance(lane.lanes, Threads) else "pure"
    assert lane.lanes.implementation == expected
    assert lane.lanes.aead == (fastpath.provider() if expected == "native" else "pynacl")
