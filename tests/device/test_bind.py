"""The sockets: one port for both families, where datagrams come from and go to, what is refused."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from ipaddress import ip_address

import pytest

from kubespan.device import bind
from kubespan.device.bind import Received, Sockets, open_sockets, receive
from kubespan.model.address import Endpoint, Source
from kubespan.model.constants import RECEIVE_QUEUES
from kubespan.model.errors import SystemFault
from tests.netns.namespace import Namespace

FAMILIES = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
LOOPBACK_INDEX = socket.if_nametoindex("lo")
ELSEWHERE = {4: "192.0.2.77", 6: "2001:db8::77"}


@pytest.fixture
def ours() -> Iterator[Sockets]:
    with closing(open_sockets(0, 0)) as sockets:
        yield sockets


@pytest.fixture
def theirs() -> Iterator[Sockets]:
    with closing(open_sockets(0, 0)) as sockets:
        yield sockets


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    with closing(Namespace("b")) as made:
        yield made


def at(host: str, sockets: Sockets) -> Endpoint:
    return Endpoint(ip_address(host), sockets.port)


def socket_for(host: str, sockets: Sockets) -> socket.socket:
    return (sockets.ipv6 if ":" in host else sockets.ipv4)[0]


def next_of(one: socket.socket) -> Received:
    assert select.select([one], [], [], 10)[0]
    received = receive(one)
    assert received is not None
    return received


def test_both_families_share_a_port_that_the_system_picks(ours: Sockets) -> None:
    assert ours.port != 0
    assert [one.getsockname()[1] for one in ours.open] == [ours.port] * 2
    assert [one.family for one in ours.open] == [socket.AF_INET, socket.AF_INET6]
    assert not any(one.getblocking() for one in ours.open)


def test_a_port_that_is_asked_for(ours: Sockets) -> None:
    port = ours.port
    ours.close()
    with closing(open_sockets(port, 0)) as again:
        assert {again.port, *(one.getsockname()[1] for one in again.open)} == {port}


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_port_that_is_taken_in_one_family(family: socket.AddressFamily) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as taken:
        if family == socket.AF_INET6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(("", 0))
        port = taken.getsockname()[1]
        with pytest.raises(SystemFault, match=f"listen on port {port}") as fault:
            open_sockets(port, 0)
        assert fault.value.errno == errno.EADDRINUSE


def test_the_old_pair_works_on_when_another_cannot_be_had(ours: Sockets, theirs: Sockets) -> None:
    with pytest.raises(SystemFault):
        open_sockets(theirs.port, 0)
    theirs.send(b"still there", at("127.0.0.1", ours), None, 0)
    assert next_of(socket_for("127.0.0.1", ours)).datagram == b"still there"


Open = Callable[..., tuple[socket.socket, ...]]


@pytest.mark.parametrize(("collisions", "succeeds"), [(1, True), (99, True), (100, False)])
def test_another_port_is_picked_when_ipv6_has_it_taken(
    collisions: int, succeeds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    original: Open = bind._open
    opened: list[socket.socket] = []

    def collide(family: int, *how: object, **asked: bool) -> tuple[socket.socket, ...]:
        if family == socket.AF_INET6 and len(opened) <= collisions:
            raise OSError(errno.EADDRINUSE, "taken")
        group = original(family, *how, **asked)
        if family == socket.AF_INET:
            opened.extend(group)
        return group

    monkeypatch.setattr(bind, "_open", collide)
    if succeeds:
        with closing(open_sockets(0, 0)) as sockets:
            assert len(sockets.open) == 2
            assert [one.fileno() for one in opened[:-1]] == [-1] * collisions
    else:
        with pytest.raises(SystemFault, match="free for both families"):
            open_sockets(0, 0)
        assert {one.fileno() for one in opened} == {-1}


@pytest.mark.parametrize("missing", [{socket.AF_INET}, {socket.AF_INET6}])
def test_a_family_that_the_system_does_not_have(
    missing: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out(missing, monkeypatch)
    with closing(open_sockets(0, 0)) as sockets:
        assert len(sockets.open) == 1
        assert sockets.port == sockets.open[0].getsockname()[1] != 0
        host = "127.0.0.1" if socket.AF_INET in missing else "::1"
        with pytest.raises(SystemFault) as fault:
            sockets.send(b"", at(host, sockets), None, 0)
        assert fault.value.errno == errno.EAFNOSUPPORT


def test_no_family_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out({socket.AF_INET, socket.AF_INET6}, monkeypatch)
    with pytest.raises(SystemFault) as fault:
        open_sockets(0, 0)
    assert fault.value.errno == errno.EAFNOSUPPORT


def leave_out(missing: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    original = socket.socket

    def make(family: int, kind: int) -> socket.socket:
        if family in missing:
            raise OSError(errno.EAFNOSUPPORT, "no such family")
        return original(family, kind)

    monkeypatch.setattr(socket, "socket", make)


@FAMILIES
def test_an_arrival_tells_both_ends(host: str, ours: Sockets, theirs: Sockets) -> None:
    assert theirs.send(b"datagram", at(host, ours), None, 0)
    received = next_of(socket_for(host, ours))
    assert received.datagram == b"datagram"
    assert received.arrival.endpoint == at(host, theirs)
    assert received.arrival.source == Source(ip_address(host), LOOPBACK_INDEX)
    assert not received.congestion
    assert receive(socket_for(host, ours)) is None


def test_an_answer_leaves_from_where_it_was_written_to(ours: Sockets, theirs: Sockets) -> None:
    theirs.send(b"question", at("127.0.0.9", ours), None, 0)
    arrival = next_of(socket_for("127.0.0.9", ours)).arrival
    assert ours.send(b"answer", arrival.endpoint, arrival.source, 0)
    answer = next_of(socket_for("127.0.0.9", theirs)).arrival
    assert answer.endpoint == at("127.0.0.9", ours)


@FAMILIES
def test_a_stale_source_is_left_out(host: str, ours: Sockets, theirs: Sockets) -> None:
    version = ip_address(host).version
    stale = Source(ip_address(ELSEWHERE[version]), LOOPBACK_INDEX)
    assert not ours.send(b"datagram", at(host, theirs), stale, 0)
    assert next_of(socket_for(host, theirs)).arrival.endpoint == at(host, ours)


@FAMILIES
def test_a_stale_interface_is_left_out(host: str, ours: Sockets, theirs: Sockets) -> None:
    stale = Source(ip_address(host), 2**31 - 1)
    assert not ours.send(b"datagram", at(host, theirs), stale, 0)
    assert next_of(socket_for(host, theirs)).datagram == b"datagram"


@FAMILIES
def test_a_source_of_the_other_family_does_not_matter(
    host: str, ours: Sockets, theirs: Sockets
) -> None:
    other = ELSEWHERE[10 - ip_address(host).version]
    assert ours.send(b"datagram", at(host, theirs), Source(ip_address(other), 1), 0)
    assert next_of(socket_for(host, theirs)).datagram == b"datagram"


@FAMILIES
@pytest.mark.parametrize("with_source", [True, False])
def test_what_cannot_be_sent_at_all(host: str, with_source: bool, ours: Sockets) -> None:
    endpoint = at(host, ours)
    source = Source(ip_address(host), LOOPBACK_INDEX) if with_source else None
    with pytest.raises(SystemFault) as fault:
        ours.send(bytes(70_000), endpoint, source, 0)
    assert fault.value.operation == f"send to {endpoint}"
    assert fault.value.errno == errno.EMSGSIZE


@pytest.mark.netns
@FAMILIES
def test_a_stale_source_to_where_nothing_leads(host: str, namespace: Namespace) -> None:
    elsewhere = ip_address(ELSEWHERE[ip_address(host).version])
    with closing(namespace.inside(partial(open_sockets, 0, 0))) as sockets:
        with pytest.raises(SystemFault) as fault:
            sockets.send(b"", Endpoint(elsewhere, 1), Source(elsewhere, 0), 0)
        assert fault.value.errno == errno.ENETUNREACH


@FAMILIES
@pytest.mark.parametrize("traffic_class", [0, 0x02, 0x88, 0xFF])
def test_the_traffic_class_is_sent(
    host: str, traffic_class: int, ours: Sockets, theirs: Sockets
) -> None:
    ours.send(b"datagram", at(host, theirs), None, traffic_class)
    one = socket_for(host, theirs)
    assert select.select([one], [], [], 10)[0]
    _, ancillary, _, _ = one.recvmsg(100, 1000)
    classes = [
        int.from_bytes(data, "little")
        for level, kind, data in ancillary
        if (level, kind)
        in {
            (socket.IPPROTO_IP, socket.IP_TOS),
            (socket.IPPROTO_IPV6, socket.IPV6_TCLASS),
        }
    ]
    assert classes == [traffic_class]


@FAMILIES
@pytest.mark.parametrize(("ecn", "expected"), [(0, False), (1, False), (2, False), (3, True)])
def test_congestion_is_heard_of(
    host: str, ecn: int, expected: bool, ours: Sockets, theirs: Sockets
) -> None:
    theirs.send(b"datagram", at(host, ours), None, 0x88 | ecn)
    assert next_of(socket_for(host, ours)).congestion is expected


def test_an_endpoint_with_a_scope() -> None:
    scoped = ("fe80::1%9", 51820, 0, 9)
    assert bind._endpoint(scoped) == Endpoint.parse("[fe80::1%9]:51820")


def test_news_of_an_earlier_datagram_is_no_datagram(ours: Sockets) -> None:
    one = socket_for("127.0.0.1", ours)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = closed.getsockname()
    one.connect(nobody)
    one.send(b"into the void")
    assert receive(one) is None
    assert one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_the_largest_datagram(ours: Sockets, theirs: Sockets) -> None:
    largest = bytes(65_507)
    ours.send(largest, at("127.0.0.1", theirs), None, 0)
    assert next_of(socket_for("127.0.0.1", theirs)).datagram == largest


@pytest.mark.netns
def test_marks(namespace: Namespace) -> None:
    namespace.nft(
        """
        table inet t {
            counter marked {}
            chain out { type filter hook output priority 0; meta mark 0x77 counter name marked; }
        }
        """
    )

    def count_marked() -> int:
        words = namespace.run("nft", "list", "counter", "inet", "t", "marked").split()
        return int(words[words.index("packets") + 1])

    with closing(namespace.inside(partial(open_sockets, 0, 0x77))) as sockets:
        for mark, expected in ((0x77, 2), (0, 2), (0x77, 4)):
            sockets.set_mark(mark)
            for host in ("127.0.0.1", "::1"):
                sockets.send(b"", at(host, sockets), None, 0)
            assert count_marked() == expected


@pytest.mark.netns
def test_new_sockets_are_marked_from_the_start(namespace: Namespace) -> None:
    with closing(namespace.inside(partial(open_sockets, 0, 0x77))) as sockets:
        marks = [one.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) for one in sockets.open]
    assert marks == [0x77, 0x77]


def test_a_mark_that_is_refused(ours: Sockets) -> None:
    ours.close()
    with pytest.raises(SystemFault, match="mark datagrams with 7"):
        ours.set_mark(7)


@pytest.mark.parametrize("merge", [True, False])
def test_merging_is_asked_for(merge: bool) -> None:
    with closing(open_sockets(0, 0, merge=merge).spread(0, merge=merge)) as sockets:
        asked = [one.getsockopt(socket.IPPROTO_UDP, bind.UDP_GRO) for one in sockets.open]
    assert asked == [merge] * 2 * RECEIVE_QUEUES


# ---- spread


@pytest.fixture
def spread() -> Iterator[Sockets]:
    with closing(open_sockets(0, 0).spread(0, merge=False)) as sockets:
        yield sockets


MESSAGES = [
    (b"\4\0\0\0\1\2\3\x00" + bytes(24), 0),
    (b"\4\0\0\0\1\2\3\x0f" + bytes(24), 0),
    (b"\4\0\0\0\1\2\3\x10" + bytes(24), 1),
    (b"\4\0\0\0\1\2\3\xa5" + bytes(24), 10),
    (b"\4\0\0\0\1\2\3\xff" + bytes(1392), 15),
    (b"\1\0\0\0\1\2\3\xff" + bytes(140), 0),
    (b"\2\0\0\0\1\2\3\xff" + bytes(84), 0),
    (b"\3\0\0\0\1\2\3\xff" + bytes(56), 0),
    (b"\x84\0\0\0\1\2\3\xff", 0),
    (b"\4\0\0\0\1\2\3", 0),
    (b"\4", 0),
    (b"", 0),
]


@FAMILIES
@pytest.mark.parametrize(("message", "queue"), MESSAGES)
def test_messages_are_sorted_by_what_they_say(
    host: str, message: bytes, queue: int, spread: Sockets, theirs: Sockets
) -> None:
    """Transport messages by their receiver's queue; all else is the first one's, the empty too."""
    group = spread.ipv6 if ":" in host else spread.ipv4
    theirs.send(message, at(host, spread), None, 0)
    assert next_of(group[queue]).datagram == message
    assert [receive(one) for one in group] == [None] * RECEIVE_QUEUES


@FAMILIES
def test_nobody_else_joins_a_group(host: str, spread: Sockets) -> None:
    with pytest.raises(SystemFault) as fault:
        open_sockets(spread.port, 0)
    assert fault.value.errno == errno.EADDRINUSE
    assert spread.send(b"out", at(host, spread), None, 0)
    assert next_of(socket_for(host, spread)).datagram == b"out"


def test_the_port_of_a_group_is_free_again(spread: Sockets) -> None:
    port = spread.port
    spread.close()
    with closing(open_sockets(port, 0)) as again:
        assert again.port == port


@FAMILIES
def test_where_nothing_can_be_sorted_one_socket_hears_all(
    host: str, monkeypatch: pytest.MonkeyPatch, theirs: Sockets
) -> None:
    def refuse(first: socket.socket) -> None:
        raise OSError(errno.ENOPROTOOPT, "an old kernel")

    monkeypatch.setattr(bind, "_sort", refuse)
    with closing(open_sockets(0, 0).spread(0, merge=False)) as sockets:
        assert (len(sockets.ipv4), len(sockets.ipv6)) == (1, 1)
        assert not any(
            one.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) for one in sockets.open
        )
        for number in range(8):
            message = b"\4\0\0\0" + bytes((number, 0, 0, 0x1F * number))
            theirs.send(message, at(host, sockets), None, 0)
            assert next_of(socket_for(host, sockets)).datagram == message


def test_where_a_port_cannot_be_shared_one_socket_hears_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The option is not known at all, so it cannot be taken back either."""
    with closing(open_sockets(0, 0)) as sockets:
        monkeypatch.setattr(socket, "SO_REUSEPORT", 9999)
        spread = sockets.spread(0, merge=False)
        assert (spread.ipv4, spread.ipv6) == (sockets.ipv4, sockets.ipv6)


@pytest.mark.netns
def test_a_whole_group_is_marked(namespace: Namespace) -> None:
    sockets = namespace.inside(lambda: open_sockets(0, 0x77).spread(0x77, merge=False))
    with closing(sockets):
        sockets.set_mark(0x78)
        marks = {one.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) for one in sockets.open}
    assert marks == {0x78}
