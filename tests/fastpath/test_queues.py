"""Queues: the system sorts what comes, lanes take turns, and nobody waits behind somebody else.

The sockets are those of a real interface, over loopback; socket pairs stand for the queues of a TUN
device. There may be several lanes for a direction, and then a queue is one lane's.
"""

from __future__ import annotations

import gc
import os
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from kubespan import fastpath
from kubespan.device.bind import Sockets, open_sockets
from kubespan.fastpath import LaneOptions
from kubespan.model.address import Arrival, Endpoint, Prefix
from kubespan.model.constants import RECEIVE_QUEUE_BITS, RECEIVE_QUEUES
from kubespan.model.drop import DropReason
from kubespan.model.errors import SystemFault
from kubespan.model.instant import Instant
from kubespan.model.keys import PrivateKey
from kubespan.wireguard.effects import Effect, SendDatagram
from kubespan.wireguard.interface import Interface
from kubespan.wireguard.keypair import PureKeypair
from tests.fastpath.test_lanes import (
    LOOPBACK,
    PATIENCE,
    SO_RCVBUFFORCE,
    SO_SNDBUFFORCE,
    SOL_UDP,
    THEIRS,
    boot,
    ipv4,
)

PEERS = 20
BUFFER_SIZE = 64 << 20
LONGER_THAN_HOT = 0.15
UDP_SEGMENT = 103
NUMBERS = ["", *map(str, range(2, 9))]
LANES = {
    1: {"both"},
    2: {"outbound", "inbound"},
    5: {f"outbound{n}" for n in NUMBERS[:2]} | {f"inbound{n}" for n in NUMBERS[:3]},
    16: {f"outbound{n}" for n in NUMBERS[:4]} | {f"inbound{n}" for n in NUMBERS},
}
"""The lanes of so many threads: there are four queues of the TUN device, and many sockets."""

HOSTS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


NOW = Instant(1000.0, 10**18)
ARRIVAL = Arrival(Endpoint.parse("192.0.2.2:9"), None)


def core(private: bytes) -> Interface:
    """An interface without a device, on the native path."""
    one = Interface(fastpath.create_path(), random.Random(private).randbytes)
    one.set_private_key(PrivateKey(private), NOW)
    one.set_up(NOW)
    return one


def datagram_of(effects: list[Effect]) -> bytes:
    """The one that is to be sent."""
    (sent,) = (effect for effect in effects if isinstance(effect, SendDatagram))
    return sent.datagram


class Crowd:
    """More peers than queues with a session each, and who writes in their names."""

    def __init__(self, threads: int, *, offload: bool = False) -> None:
        self.threads = threads
        self.tun, self.lane_tun = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.lane_tun.setblocking(False)
        for end in (self.tun, self.lane_tun):
            end.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_SIZE)
        self.tun.settimeout(PATIENCE)
        self.sockets: Sockets = open_sockets(0, 0, merge=True).spread(0, merge=True)
        self.senders = {family: socket.socket(family, socket.SOCK_DGRAM) for family in HOSTS}
        self.queues = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(4)]
        for near, far in self.queues:
            far.setblocking(False)
            near.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_SIZE)
        self.peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.peer.bind(("127.0.0.1", 0))
        self.peer.settimeout(PATIENCE)
        self.peer.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_SIZE)
        self.path: Any = fastpath.create_path()
        self.slots: list[Any] = [self.path.create_slot() for _ in range(PEERS)]
        self.twins = [self.establish(number) for number in range(PEERS)]
        self.path.publish_routes(
            (Prefix.parse(f"10.{n}.0.0/16"), slot) for n, slot in enumerate(self.slots)
        )
        self.lanes = fastpath.create_lanes(
            self.path,
            LaneOptions(
                self.lane_tun.fileno(),
                tuple(one.fileno() for one in self.sockets.ipv4),
                tuple(one.fileno() for one in self.sockets.ipv6),
                vnet_header=offload,
                tcp_offload=offload,
                threads=threads,
                tun_queues=tuple(far.fileno() for _, far in self.queues),
            ),
        )

    def establish(self, number: int) -> PureKeypair:
        """A session of a peer whose index is in the peer's queue; the other end of it."""
        index = self.slots[number].queue << (32 - RECEIVE_QUEUE_BITS) | number + 1
        values: dict[str, Any] = {"is_initiator": True, "created_at": boot()}
        keypair = self.path.create_keypair(
            send_key=bytes([number]) * 32,
            receive_key=THEIRS,
            local_index=index,
            remote_index=7,
            **values,
        )
        self.slots[number].install(None, keypair, None)
        self.slots[number].endpoint = Endpoint(LOOPBACK, self.peer.getsockname()[1])
        return PureKeypair(
            send_key=THEIRS,
            receive_key=bytes([number]) * 32,
            local_index=7,
            remote_index=index,
            **values,
        )

    def say(self, number: int, word: int, family: int = socket.AF_INET) -> None:
        """One packet of a peer's comes in."""
        packet = ipv4(f"10.{number}.0.1", "10.99.0.1", word.to_bytes(4, "big"))
        datagram = self.twins[number].seal(packet + bytes(-len(packet) % 16))
        self.senders[socket.AddressFamily(family)].sendto(
            datagram, (HOSTS[socket.AddressFamily(family)], self.sockets.port)
        )

    def heard(self, count: int) -> list[tuple[int, int]]:
        """So many packets that came out: whose, and which word."""
        packets = [self.tun.recv(65535) for _ in range(count)]
        return [(p[13], int.from_bytes(p[20:24], "big")) for p in packets]

    def write(self, queue: int, number: int, word: int) -> None:
        """A packet for a peer waits in a queue of the TUN device."""
        packet = ipv4("10.99.0.1", f"10.{number}.0.1", word.to_bytes(4, "big"))
        self.queues[queue][0].send(packet)

    def sent(self, count: int) -> list[tuple[int, int]]:
        """So many packets that peers opened: whose, and which word. No counter comes twice."""
        packets = []
        for _ in range(count):
            datagram = self.peer.recv(65535)
            opened = [p for p in (twin.open(datagram) for twin in self.twins) if type(p) is bytes]
            assert len(opened) == 1, "one key opens it, and has not seen its counter"
            packets += opened
        return [(p[17], int.from_bytes(p[20:24], "big")) for p in packets]

    def close(self) -> None:
        self.lanes.stop()
        self.lanes.close()
        self.sockets.close()
        for one in (
            self.tun,
            self.lane_tun,
            self.peer,
            *self.senders.values(),
            *sum(self.queues, ()),
        ):
            one.close()


Gather = Callable[..., Crowd]


@pytest.fixture
def gather() -> Iterator[Gather]:
    """Makes a crowd that ends with the test, so that its lanes read nothing of the next one's."""
    with ExitStack() as stack:
        yield lambda *what, **how: stack.enter_context(closing(Crowd(*what, **how)))


@pytest.fixture(params=[1, 2, 5, 16], ids=lambda count: f"{count} threads")
def crowd(request: pytest.FixtureRequest) -> Iterator[Crowd]:
    one = Crowd(request.param)
    yield one
    one.close()


def words(packets: list[tuple[int, int]], number: int) -> list[int]:
    """Those of one peer, in the order in which they came."""
    return [word for whose, word in packets if whose == number]


def test_peers_are_spread_evenly_and_never_wait_with_strangers(crowd: Crowd) -> None:
    queues = [slot.queue for slot in crowd.slots]
    assert queues[: RECEIVE_QUEUES - 1] == list(range(1, RECEIVE_QUEUES))
    assert max(map(queues.count, queues)) == 2


@pytest.mark.parametrize("family", HOSTS)
def test_a_modest_peer_does_not_wait_behind_a_greedy_one(crowd: Crowd, family: int) -> None:
    """Both wait when the lane begins: first what one turn takes of the greedy one's.

    Of two lanes, the modest one's may be the later to begin.
    """
    greedy, modest, many = 0, 1, 2000
    for word in range(many):
        crowd.say(greedy, word, family)
    for word in range(5):
        crowd.say(modest, word, family)
    crowd.lanes.start()
    heard = crowd.heard(many + 5)
    assert words(heard, greedy) == list(range(many))
    assert words(heard, modest) == list(range(5))
    if crowd.threads <= 2:
        assert max(at for at, (number, _) in enumerate(heard) if number == modest) < many // 4


def send_train(crowd: Crowd, train: list[bytes], sender: socket.socket) -> None:
    """Messages of one size in one super-packet; the last may be shorter."""
    control = [(SOL_UDP, UDP_SEGMENT, struct.pack("H", len(train[0])))]
    sender.sendmsg([b"".join(train)], control, 0, ("127.0.0.1", crowd.sockets.port))


def test_many_full_sockets_leave_the_way_out_its_turns(gather: Gather) -> None:
    """One thread. When the last socket is looked at, its peer's endpoint moves: all is out by then.

    A turn without an end would have received from all sockets after the first few frames.
    """
    crowd = gather(1)
    last, frames = RECEIVE_QUEUES - 2, 300
    for number in range(last):
        for word in range(256):
            crowd.say(number, word)
    crowd.say(last, 0)
    for word in range(frames):
        crowd.queues[0][0].send(ipv4("10.99.0.1", f"10.{last}.0.1", word.to_bytes(1380, "big")))
    crowd.lanes.start()
    assert len(crowd.sent(frames)) == frames


def test_messages_for_other_queues_in_one_super_packet_do_no_harm(gather: Gather) -> None:
    """Whoever knows indices may mix them: it goes where its first message says, with all others.

    So lanes meet the same sessions at the same time. Of each message one is delivered.
    """
    crowd = gather(16)
    chance = random.Random(5)
    pool = [
        [crowd.twins[n].seal(ipv4(f"10.{n}.0.1", "10.99.0.1", bytes(44))) for _ in range(100)]
        for n in range(PEERS)
    ]
    crowd.lanes.start()
    until = time.monotonic() + 1.0

    def mix(sender: socket.socket, chance: random.Random) -> None:
        while time.monotonic() < until:
            send_train(crowd, [chance.choice(chance.choice(pool)) for _ in range(60)], sender)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        senders = [crowd.senders[socket.AF_INET], other]
        threads = [
            threading.Thread(target=mix, args=(sender, random.Random(chance.random())))
            for sender in senders
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for messages in pool:
            for message in messages:
                senders[0].sendto(message, ("127.0.0.1", crowd.sockets.port))
    assert len(crowd.heard(PEERS * 100)) == PEERS * 100
    crowd.lanes.stop()
    crowd.tun.setblocking(False)
    assert {reason for reason, count in crowd.lanes.drops().items() if count} == {
        DropReason.REPLAYED
    }
    with pytest.raises(BlockingIOError):
        crowd.tun.recv(65535)


def watched(crowd: Crowd) -> list[set[int]]:
    """What each lane waits for together: the sockets and queues in its epoll."""
    ours = {one.fileno() for one in crowd.sockets.open} | {far.fileno() for _, far in crowd.queues}
    found = []
    for name in os.listdir("/proc/self/fdinfo"):  # noqa: PTH208
        with suppress(OSError):
            text = Path("/proc/self/fdinfo", name).read_text()
            members = {int(number) for number in re.findall(r"tfd:\s*(\d+)", text)}
            if members & ours:
                found.append(members)
    return found


def test_a_queue_with_traffic_is_waited_for_by_itself(gather: Gather) -> None:
    """All others together; whichever it is, none is forgotten and none is in both."""
    crowd = gather(1)
    everything = {one.fileno() for one in crowd.sockets.open}
    everything |= {far.fileno() for _, far in crowd.queues}
    first = {crowd.sockets.ipv4[0].fileno(), crowd.queues[0][1].fileno()}
    assert watched(crowd) == [everything - first]
    crowd.lanes.start()
    for number, queue in ((4, 2), (9, 1)):
        time.sleep(LONGER_THAN_HOT)
        crowd.write(queue, number, 0)
        crowd.sent(1)
        crowd.say(number, 0)
        crowd.heard(1)
        hot = {crowd.sockets.ipv4[crowd.slots[number].queue].fileno()}
        cold = everything - hot - {crowd.queues[queue][1].fileno()}
        until = time.monotonic() + PATIENCE
        while watched(crowd) != [cold] and time.monotonic() < until:
            time.sleep(0.005)
        assert watched(crowd) == [cold]
        crowd.slots[number].endpoint = Endpoint(LOOPBACK, crowd.peer.getsockname()[1])


def test_what_cannot_be_waited_for_leaves_nothing_behind(tmp_path: Path) -> None:
    path: Any = fastpath.create_path()
    with (tmp_path / "file").open("w") as file, (tmp_path / "other").open("w") as other:
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        queues = (file.fileno(), other.fileno())
        with pytest.raises(SystemFault, match="wait for all descriptors"):
            fastpath.create_lanes(path, LaneOptions(-1, tun_queues=queues))
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_thread_that_cannot_be_started_leaves_none_running(
    gather: Gather, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd, original = gather(5), threading.Thread.start
    started: list[threading.Thread] = []

    def run_out(thread: threading.Thread) -> None:
        if len(started) == 3:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        original(thread)

    monkeypatch.setattr(threading.Thread, "start", run_out)
    with pytest.raises(SystemFault, match="start a thread"):
        crowd.lanes.start()
    assert len(started) == 3
    assert not any(thread.is_alive() for thread in started)


def test_strangers_take_nobody_s_room(crowd: Crowd) -> None:
    """There are more than their queue holds, and a packet that comes last is not lost."""
    crowd.sockets.ipv4[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sender = crowd.senders[socket.AF_INET]
    for _ in range(1000):
        sender.sendto(b"\1" + bytes(147), ("127.0.0.1", crowd.sockets.port))
    crowd.say(3, 0)
    crowd.lanes.start()
    assert crowd.heard(1) == [(3, 0)]
    crowd.lanes.stop()
    assert crowd.lanes.counters()["udp_received"] < 1000


def test_all_of_everybody_comes_in_order(crowd: Crowd) -> None:
    """In bursts of some, then of others, at either address: whoever is waited for by itself."""
    crowd.lanes.start()
    chance = random.Random(23)
    for phase in range(4):
        talkers = chance.sample(range(PEERS), 1 + 4 * (phase % 2))
        families = {number: chance.choice(list(HOSTS)) for number in talkers}
        said = [(chance.choice(talkers), word) for word in range(300)]
        for number, word in said:
            crowd.say(number, word, families[number])
        heard = crowd.heard(len(said))
        for number in talkers:
            assert words(heard, number) == words(said, number)
        time.sleep(LONGER_THAN_HOT)
    crowd.lanes.stop()
    assert sum(crowd.lanes.drops().values()) == 0


def test_what_fills_one_queue_keeps_nobody_of_another_waiting(crowd: Crowd) -> None:
    """All wait when the lanes begin, two queues after the full one: turns are taken by frames."""
    many = 150
    for word in range(many):
        crowd.write(0, 0, word)
    for word in range(5):
        crowd.write(2, 1, word)
        crowd.write(3, 2, word)
    crowd.lanes.start()
    sent = crowd.sent(many + 10)
    assert [words(sent, number) for number in (0, 1, 2)] == [
        list(range(many)),
        *[list(range(5))] * 2,
    ]
    if crowd.threads <= 2:
        assert max(at for at, (number, _) in enumerate(sent) if number) < 20


def test_frames_of_all_queues_go_out_in_the_order_of_each(crowd: Crowd) -> None:
    """One peer's session is used by several lanes: no counter twice, none too old, none lost."""
    crowd.lanes.start()
    for word in range(400):
        for queue in range(4):
            crowd.write(queue, 0, word << 2 | queue)
    sent = [word for _, word in crowd.sent(1600)]
    for queue in range(4):
        assert [word >> 2 for word in sent if word & 3 == queue] == list(range(400))


def test_each_lane_has_its_part_and_tells_its_load(crowd: Crowd) -> None:
    crowd.lanes.start()
    for queue in range(4):
        crowd.write(queue, queue, 0)
    crowd.sent(4)
    for number in range(PEERS):
        crowd.say(number, 0)
    crowd.heard(PEERS)
    crowd.lanes.stop()
    counters = crowd.lanes.counters()
    assert (counters["tun_reads"], counters["opened_messages"]) == (4, PEERS)
    busy = {
        name[5:-8] for name in counters if name.startswith("lane_") and name.endswith("_busy_ns")
    }
    assert busy == LANES[crowd.threads]
    assert all(counters[f"lane_{name}_busy_ns"] > 0 for name in busy)


def test_a_socket_too_many_is_refused() -> None:
    with pytest.raises(ValueError, match="32 sockets each"):
        fastpath.create_lanes(fastpath.create_path(), LaneOptions(-1, tuple(range(900, 933))))


def test_what_peers_are_asked_to_answer_to_is_in_their_queue() -> None:
    """Initiations, the second of a peer too, and responses: the index in either is sorted by."""
    here, there = core(bytes([1]) * 32), core(bytes([2]) * 32)
    queues: list[int] = []
    for one, other in ((here, there), (there, here)):
        assert other.public_key is not None
        peer = one.add_peer(other.public_key, NOW)
        assert peer is not None
        one.set_endpoint(peer, Endpoint.parse("192.0.2.1:9"))
        one.commit_peer(peer, keepalive_turned_on=False, now=NOW)
    caller, answerer = (next(iter(one.peers.values())) for one in (here, there))
    for later in range(2):
        now = Instant(NOW.boot + 10 * later, NOW.wall_ns + 10**10 * later)
        initiation = datagram_of(caller.send_initiation(now))
        response = datagram_of(there.receive_datagram(initiation, ARRIVAL, now))
        queues += [message[7] >> 8 - RECEIVE_QUEUE_BITS for message in (initiation, response)]
    assert queues == [caller.slot.queue, answerer.slot.queue] * 2
    assert set(queues) == {1}
