"""The shell around the core: links, ports, marks, sources and the timer, without root.

Lanes that only note whom they serve stand in, except where two devices talk over loopback.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from ipaddress import ip_address

import pytest
import pytest_asyncio

from kubespan.device.bind import Sockets
from kubespan.device.device import LONGEST_NAP, SHORTEST_NAP, Device
from kubespan.device.lanes import Hearer, Lanes
from kubespan.device.reader import Readers
from kubespan.linux.link import LinkState
from kubespan.model.address import Endpoint, Prefix, Source
from kubespan.model.constants import RECEIVE_QUEUES
from kubespan.model.drop import DropReason
from kubespan.model.errors import ConfigError, SystemFault
from kubespan.model.instant import Instant
from kubespan.model.keys import PresharedKey, PrivateKey
from kubespan.model.plan import InterfaceConfig, PeerConfig
from kubespan.wireguard.effects import Dropped, Effect, Event
from kubespan.wireguard.peer import Peer
from kubespan.wireguard.purepath import PurePath
from tests.device.hearing import PATIENCE, Cable, eventually

pytestmark = pytest.mark.asyncio

UP, DOWN = LinkState(is_up=True, mtu=1420), LinkState(is_up=False, mtu=1300)
LOOPBACK = ip_address("127.0.0.1")
SOURCE = Source(ip_address("192.0.2.1"), 3)
ENDPOINT = Endpoint(ip_address("192.0.2.2"), 51820)
PACKET = bytes.fromhex("4500001c 00010000 40fd0000 0a000001 0a000002") + b"12345678"


class NotedLanes:
    """Lanes that move nothing and note whom they serve."""

    implementation = "noted"
    aead = "none"
    merges = False
    sorts = False

    def __init__(self) -> None:
        self.attended: list[Sockets | None] = []
        self.is_closed = False
        self.fault: SystemFault | None = None

    def attend(self, sockets: Sockets | None) -> None:
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        self.attended.append(sockets)

    def close(self) -> None:
        self.is_closed = True

    def counters(self) -> Mapping[str, int]:
        return {"lanes_noted": 7, "drop_bad_tag": 3}


class Desk:
    """A device and what is around it."""

    def __init__(self, make_lanes: Callable[[Cable, Hearer], Lanes], seed: int) -> None:
        self.cable = Cable()
        self.lanes: Lanes
        self.key = PrivateKey(bytes((seed,)) * 32)
        self.path = PurePath()

        def make(hearer: Hearer) -> Lanes:
            self.lanes = make_lanes(self.cable, hearer)
            return self.lanes

        randomness = random.Random(seed).randbytes
        log = logging.getLogger("kubespan.test")
        self.heard: list[Event] = []
        self.device = Device(
            self.cable.tun,
            self.path,
            make,
            randomness,
            log,
            hear_event=lambda happened: self.heard.append(happened.event),
        )
        self.device.start()

    def meet(self, other: Desk, endpoint: Endpoint | None = None) -> Peer:
        interface = self.device.interface
        self.device.perform(interface.set_private_key(self.key, self.device.now()))
        peer = interface.add_peer(other.key.public_key, self.device.now())
        assert peer is not None
        interface.insert_allowed_ip(peer, Prefix.parse("10.0.0.0/8"))
        if endpoint is not None:
            interface.set_endpoint(peer, endpoint)
        now = self.device.now()
        self.device.perform(interface.commit_peer(peer, keepalive_turned_on=False, now=now))
        interface.publish()
        return peer

    def close(self) -> None:
        self.device.close()
        self.cable.close()


Make = Callable[[], Desk]


@pytest_asyncio.fixture
async def make() -> AsyncIterator[Make]:
    desks: list[Desk] = []

    def make_one() -> Desk:
        desks.append(Desk(lambda _cable, _hearer: NotedLanes(), len(desks) + 1))
        return desks[-1]

    yield make_one
    for desk in desks:
        desk.close()


@pytest_asyncio.fixture
async def desk(make: Make) -> Desk:
    return make()


def attended(desk: Desk) -> list[Sockets | None]:
    assert isinstance(desk.lanes, NotedLanes)
    return desk.lanes.attended


def is_open(sockets: Sockets | None) -> bool:
    assert sockets is not None
    return all(one.fileno() != -1 for one in sockets.open)


def taken_port() -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("", 0))
    return one


# ---- the link


async def test_at_first_it_is_down_and_serves_nothing(desk: Desk) -> None:
    assert attended(desk) == [None]
    assert not desk.device.interface.is_up
    assert not desk.device.has_seen_link.is_set()


async def test_it_goes_up_and_down_with_the_link(desk: Desk) -> None:
    desk.device.follow_link(UP)
    sockets = attended(desk)[-1]
    assert is_open(sockets)
    assert desk.device.interface.is_up
    desk.device.follow_link(DOWN)
    assert attended(desk) == [None, sockets, None]
    assert not is_open(sockets)
    assert not desk.device.interface.is_up


async def test_the_same_state_again_changes_nothing(desk: Desk) -> None:
    for state in (DOWN, UP, UP):
        desk.device.follow_link(state)
    assert len(attended(desk)) == 2


async def test_the_mtu_follows_whether_up_or_down(desk: Desk) -> None:
    for state in (UP, DOWN):
        desk.device.follow_link(state)
        assert desk.path.mtu == state.mtu


@pytest.mark.parametrize("state", [UP, DOWN, None])
async def test_the_first_news_of_the_link_is_told(desk: Desk, state: LinkState | None) -> None:
    desk.device.follow_link(state)
    assert desk.device.has_seen_link.is_set()
    assert desk.device.gone.is_set() is (state is None)


async def test_it_is_gone_when_lanes_say_so(desk: Desk) -> None:
    assert not desk.device.gone.is_set()
    desk.device.hear_gone()
    assert desk.device.gone.is_set()


async def test_closing_frees_the_port_and_forgets_the_keys(make: Make) -> None:
    desk = make()
    desk.meet(make())
    desk.device.follow_link(UP)
    desk.device.close()
    assert isinstance(desk.lanes, NotedLanes)
    assert desk.lanes.is_closed
    assert not is_open(attended(desk)[-1])
    assert desk.device.interface.private_key is None
    assert desk.device.interface.peers == {}


# ---- the port


async def test_a_port_is_chosen_when_it_goes_up_and_kept(desk: Desk) -> None:
    assert desk.device.listen_port == 0
    desk.device.follow_link(UP)
    port = desk.device.listen_port
    assert port > 0
    for state in (DOWN, UP):
        desk.device.follow_link(state)
    assert desk.device.listen_port == port


async def test_a_port_set_while_down_is_used_when_up(desk: Desk) -> None:
    with taken_port() as free_soon:
        port = free_soon.getsockname()[1]
    desk.device.set_listen_port(port)
    assert attended(desk) == [None]
    desk.device.follow_link(UP)
    sockets = attended(desk)[-1]
    assert sockets is not None
    assert {one.getsockname()[1] for one in sockets.open} == {port}


async def test_another_port_while_up_replaces_the_sockets(desk: Desk) -> None:
    desk.device.follow_link(UP)
    former = desk.device.listen_port
    desk.device.set_listen_port(0)
    _, old, new = attended(desk)
    assert not is_open(old)
    assert is_open(new)
    assert desk.device.listen_port not in (0, former)


async def test_the_same_port_again_keeps_the_sockets(desk: Desk) -> None:
    desk.device.follow_link(UP)
    desk.device.set_listen_port(desk.device.listen_port)
    assert len(attended(desk)) == 2
    assert is_open(attended(desk)[-1])


async def test_a_taken_port_leaves_the_old_sockets(desk: Desk) -> None:
    desk.device.follow_link(UP)
    port = desk.device.listen_port
    with taken_port() as taken, pytest.raises(SystemFault) as caught:
        desk.device.set_listen_port(taken.getsockname()[1])
    assert caught.value.errno == errno.EADDRINUSE
    assert desk.device.listen_port == port
    assert len(attended(desk)) == 2
    assert is_open(attended(desk)[-1])


async def test_a_port_taken_at_going_up_is_told_and_mended_by_another(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    with taken_port() as taken:
        desk.device.set_listen_port(taken.getsockname()[1])
        desk.device.follow_link(UP)
        assert not desk.device.interface.is_up
        assert "Stays down" in caplog.text
    desk.device.set_listen_port(desk.device.listen_port)
    assert desk.device.interface.is_up
    assert is_open(attended(desk)[-1])


async def test_lanes_that_cannot_serve_new_sockets_serve_the_old_ones_again(desk: Desk) -> None:
    desk.device.follow_link(UP)
    port, former = desk.device.listen_port, attended(desk)[-1]
    assert isinstance(desk.lanes, NotedLanes)
    desk.lanes.fault = SystemFault("wait for all descriptors", errno.EMFILE)
    with pytest.raises(SystemFault):
        desk.device.set_listen_port(0)
    assert (desk.device.listen_port, attended(desk)[-1]) == (port, former)
    assert is_open(former)


async def test_lanes_that_cannot_serve_at_going_up_are_told_and_tried_again(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(desk.lanes, NotedLanes)
    desk.lanes.fault = SystemFault("wait for all descriptors", errno.EMFILE)
    desk.device.follow_link(UP)
    assert not desk.device.interface.is_up
    assert "Stays down, for it cannot wait for all descriptors" in caplog.text
    desk.device.set_listen_port(desk.device.listen_port)
    assert desk.device.interface.is_up


# ---- queues


def befriend(desk: Desk, *numbers: int) -> None:
    interface, now = desk.device.interface, desk.device.now()
    for number in numbers:
        assert interface.add_peer(PrivateKey(bytes([number]) * 32).public_key, now) is not None
    desk.device.perform([])


def sockets_of_a_family(desk: Desk) -> int:
    sockets = attended(desk)[-1]
    assert sockets is not None
    assert len(sockets.ipv4) == len(sockets.ipv6)
    return len(sockets.ipv4)


async def test_peers_get_queues_of_their_own_when_there_is_a_second(desk: Desk) -> None:
    """The first socket stays, and so does what waits in it; another port has them too."""
    assert isinstance(desk.lanes, NotedLanes)
    desk.lanes.sorts = True
    desk.device.follow_link(UP)
    befriend(desk, 10)
    await asyncio.sleep(0.01)
    (first,) = desk.lanes.attended[-1].ipv4  # type: ignore[union-attr]
    befriend(desk, 11)
    await asyncio.sleep(0.01)
    assert sockets_of_a_family(desk) == RECEIVE_QUEUES
    assert desk.lanes.attended[-1].ipv4[0] is first  # type: ignore[union-attr]
    assert is_open(attended(desk)[-1])
    count = len(attended(desk))
    befriend(desk, 12)
    await asyncio.sleep(0.01)
    assert len(attended(desk)) == count
    desk.device.set_listen_port(0)
    await asyncio.sleep(0.01)
    assert sockets_of_a_family(desk) == RECEIVE_QUEUES
    assert first.fileno() == -1


async def test_lanes_that_do_not_sort_have_one_socket_for_all(desk: Desk) -> None:
    desk.device.follow_link(UP)
    befriend(desk, 10, 11)
    await asyncio.sleep(0.01)
    assert sockets_of_a_family(desk) == 1


async def test_where_queues_cannot_be_served_all_wait_in_one_line(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and not tried at every turn of the loop."""
    assert isinstance(desk.lanes, NotedLanes)
    desk.lanes.sorts = True
    desk.device.follow_link(UP)
    desk.lanes.fault = SystemFault("wait for all descriptors", errno.EMFILE)
    for number in (10, 11, 12):
        befriend(desk, number)
        await asyncio.sleep(0.01)
    assert sockets_of_a_family(desk) == 1
    assert is_open(attended(desk)[-1])
    assert caplog.text.count("one line, for it cannot wait for all descriptors") == 1


# ---- the mark


async def test_a_mark_set_while_down_is_kept(desk: Desk) -> None:
    desk.device.set_fwmark(5)
    assert desk.device.fwmark == 5


@pytest.mark.netns  # no namespace, but root all the same
@pytest.mark.parametrize("states", [(UP,), (UP, DOWN, UP)])
async def test_sockets_carry_the_mark(desk: Desk, states: tuple[LinkState, ...]) -> None:
    desk.device.follow_link(states[0])
    desk.device.set_fwmark(77)
    for state in states[1:]:
        desk.device.follow_link(state)
    sockets = attended(desk)[-1]
    assert sockets is not None
    assert {one.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) for one in sockets.open} == {77}


async def test_a_mark_that_is_refused_changes_nothing(make: Make) -> None:
    desk = make()
    desk.device.follow_link(UP)
    peer = desk.meet(make(), ENDPOINT)
    peer.slot.source = SOURCE
    sockets = attended(desk)[-1]
    assert sockets is not None
    sockets.close()
    with pytest.raises(SystemFault):
        desk.device.set_fwmark(77)
    assert desk.device.fwmark == 0
    assert peer.slot.source == SOURCE


# ---- sources


@pytest_asyncio.fixture
async def answered(make: Make) -> tuple[Device, Peer]:
    """A device and its peer, which is answered from a known source."""
    desk = make()
    peer = desk.meet(make(), ENDPOINT)
    peer.slot.source = SOURCE
    return desk.device, peer


HAPPENINGS: list[tuple[Callable[[Device], None], bool]] = [
    (lambda device: device.set_listen_port(0), False),
    (lambda device: device.set_listen_port(4711), True),
    (lambda device: device.set_fwmark(0), True),
]


@pytest.mark.parametrize(("happen", "forgets"), HAPPENINGS)
async def test_when_a_source_is_forgotten(
    answered: tuple[Device, Peer], happen: Callable[[Device], None], forgets: bool
) -> None:
    device, peer = answered
    happen(device)
    assert peer.slot.source == (None if forgets else SOURCE)
    assert peer.slot.endpoint == ENDPOINT


async def test_a_scope_is_a_number_or_a_reason(desk: Desk) -> None:
    assert desk.device.scope_id("lo") == socket.if_nametoindex("lo")
    for name in ("nosuchlink", "nul\0byte"):
        with pytest.raises(ConfigError, match="there is no interface"):
            desk.device.scope_id(name)


# ---- the timer


async def test_the_timer_wakes_the_core_when_it_is_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[Instant] = []
    begun = desk.device.now().boot
    interface = desk.device.interface

    def handle_timeout(now: Instant) -> list[Effect]:
        woken.append(now)
        return []

    monkeypatch.setattr(interface, "next_timeout", lambda _: None if woken else begun + 0.05)
    monkeypatch.setattr(interface, "handle_timeout", handle_timeout)
    desk.device.perform([])
    await eventually("the timer", lambda: woken)
    assert woken[0].boot >= begun + 0.05 - SHORTEST_NAP
    assert len(woken) == 1


@pytest.mark.parametrize(
    ("due_in", "least", "most"),
    [(-5.0, 0.0, SHORTEST_NAP), (0.5, 0.4, 0.5), (3600.0, LONGEST_NAP - 0.1, LONGEST_NAP)],
)
async def test_a_nap_is_never_none_and_never_long(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, due_in: float, least: float, most: float
) -> None:
    wake_at = desk.device.now().boot + due_in
    monkeypatch.setattr(desk.device.interface, "next_timeout", lambda _: wake_at)
    desk.device._arm()
    timer = desk.device._timer
    assert timer is not None
    nap = timer.when() - asyncio.get_running_loop().time()
    assert least <= nap <= most


async def test_without_a_deadline_no_timer_is_left(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadlines = [desk.device.now().boot + 3600, None]
    monkeypatch.setattr(desk.device.interface, "next_timeout", lambda _: deadlines.pop(0))
    desk.device._arm()
    former = desk.device._timer
    desk.device._arm()
    assert former is not None
    assert former.cancelled()
    assert desk.device._timer is None


# ---- numbers


async def test_counters_tell_what_is_what(desk: Desk) -> None:
    desk.device.perform([Dropped(DropReason.BAD_TAG), Dropped(DropReason.BAD_TAG)])
    desk.device.hear_overflow()
    counters = desk.device.counters()
    assert counters == {
        "implementation": "noted",
        "aead": "none",
        "drop_bad_tag": 5,
        "drop_queue_full": 1,
        "lanes_noted": 7,
    }


# ---- a whole configuration


async def test_a_configuration_is_taken_whole(desk: Desk) -> None:
    desk.device.follow_link(UP)
    # The greatest key of a few: the other end lets us begin.
    peer = PeerConfig(PrivateKey(bytes([10]) * 32).public_key, ENDPOINT)
    config = InterfaceConfig(desk.key, PresharedKey(), (peer,), 0, fwmark=0)
    desk.device.configure(config)
    (reading,) = desk.device.readings().values()
    assert (reading.endpoint, reading.last_handshake_at) == (ENDPOINT, None)
    assert desk.heard == [Event.HANDSHAKE_INITIATION_SENT]
    # Less than REKEY_TIMEOUT after that, it waits for its turn.
    desk.device.hail()
    # The same again is not even looked at.
    desk.device.configure(config)
    assert len(desk.heard) == 1
    desk.device.configure(replace(config, peers=()))
    assert desk.device.readings() == {}


async def test_a_configuration_may_move_the_port(desk: Desk) -> None:
    desk.device.follow_link(UP)
    with taken_port() as taken:
        config = InterfaceConfig(desk.key, PresharedKey(), (), taken.getsockname()[1], fwmark=0)
        with pytest.raises(SystemFault):
            desk.device.configure(config)


async def test_a_configuration_whose_port_is_taken_has_its_peers_and_tries_again(
    desk: Desk,
) -> None:
    peer = PeerConfig(PrivateKey(bytes([10]) * 32).public_key, ENDPOINT)
    with taken_port() as taken:
        port = taken.getsockname()[1]
        config = InterfaceConfig(desk.key, PresharedKey(), (), port, fwmark=0)
        desk.device.configure(config)
        desk.device.follow_link(UP)
        with pytest.raises(SystemFault):
            desk.device.configure(replace(config, peers=(peer,)))
        assert len(desk.device.readings()) == 1
    desk.device.configure(replace(config, peers=(peer,)))
    assert desk.device.interface.is_up
    assert desk.device.listen_port == port


# ---- what lanes hear


async def test_a_packet_without_a_peer_is_answered(desk: Desk) -> None:
    desk.device.follow_link(UP)
    desk.device.hear_unroutable(PACKET)
    (answer,) = desk.cable.waiting()
    assert (answer[9], answer[20], answer[21]) == (1, 3, 1)


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[tuple[Desk, Desk]]:
    """Two devices over loopback, moved by readers, that know each other; the first begins."""
    one, other = (Desk(lambda cable, hearer: Readers(cable.tun, hearer), n) for n in (1, 2))
    for desk in (one, other):
        desk.device.follow_link(UP)
    one.meet(other, Endpoint(LOOPBACK, other.device.listen_port))
    other.meet(one)
    yield one, other
    one.close()
    other.close()


async def handed(desk: Desk) -> bytes:
    """Wait for the next packet that the system is handed."""
    loop = asyncio.get_running_loop()
    return await asyncio.wait_for(loop.sock_recv(desk.cable.system, 2000), PATIENCE)


async def test_two_devices_shake_hands_and_a_packet_arrives(pair: tuple[Desk, Desk]) -> None:
    one, other = pair
    one.cable.system.send(PACKET)
    assert await handed(other) == PACKET
    assert one.device.counters()["handshakes_initiator_completed"] == 1
    assert other.device.counters()["handshakes_responder_completed"] == 1


async def test_the_answer_comes_back_from_where_it_was_written_to(pair: tuple[Desk, Desk]) -> None:
    one, other = pair
    one.cable.system.send(PACKET)
    await eventually("the way back", lambda: other.device.sources.ways)
    answer = PACKET[:12] + PACKET[16:20] + PACKET[12:16] + PACKET[20:]
    other.cable.system.send(answer)
    assert await handed(one) == answer
    (way,) = other.device.sources.ways
    assert way.endpoint == Endpoint(LOOPBACK, one.device.listen_port)
    assert way.source.address == LOOPBACK


async def test_nothing_moves_while_down(pair: tuple[Desk, Desk]) -> None:
    one, other = pair
    one.device.follow_link(DOWN)
    one.cable.system.send(PACKET)
    await asyncio.sleep(0.02)
    assert other.cable.waiting() == []
    assert one.device.interface.handshakes == {}
    assert one.cable.tun.read() == PACKET
