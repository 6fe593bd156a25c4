"""The UDP sockets of one interface: for each family a wildcard one, or a group, on the same port.

Opens, marks, sends and receives; never decides to whom. New ones are made beside the old ones, so
that a port that is taken costs nothing. man 7 ip, ipv6, udp; RFC 3542; kernel socket.c.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from kubespan.model.address import Arrival, Endpoint, Source
from kubespan.model.constants import RECEIVE_QUEUE_BITS, RECEIVE_QUEUES
from kubespan.model.errors import SystemFault
from kubespan.noise.messages import MessageType

IP_PKTINFO = 8
IP_MTU_DISCOVER = 10
IP_PMTUDISC_DONT = 0
IPV6_MTU_DISCOVER = 23
IPV6_PMTUDISC_DONT = 0
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
SO_ATTACH_REUSEPORT_CBPF = 51
UDP_GRO = 104
_LOAD_BYTE, _JUMP_IF_EQUAL, _SHIFT_RIGHT = 0x30, 0x15, 0x74
_RETURN, _RETURN_RESULT = 0x06, 0x16

BUFFER_SIZE = 7 << 20
"""Bytes asked for in each direction, as wireguard-go does."""

PORT_TRIES = 100
"""How many ports picked for IPv4 may be taken on IPv6 before we give up. wireguard-go."""

LARGEST_DATAGRAM = 65_535
CONGESTION_EXPERIENCED = 0b11

_IPV4_INFO = struct.Struct("=i4s4s")
_IPV6_INFO = struct.Struct("=16sI")
_INT = struct.Struct("=i")
_ANCILLARY_SIZE = socket.CMSG_SPACE(_IPV6_INFO.size) + socket.CMSG_SPACE(_INT.size)

_SOURCE_REFUSED: Final = frozenset(
    (
        errno.EINVAL,
        errno.EADDRNOTAVAIL,
        errno.ENODEV,
        errno.ENXIO,
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
    )
)
"""What the system may say when an address, or the interface it came with, is not ours any more."""

_Ancillary = list[tuple[int, int, bytes]]
_DATAGRAMS: Final = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK

_INSTRUCTION = struct.Struct("=HBBI")
_PROGRAM = struct.Struct("@HP")
_SORT: Final = (
    (_LOAD_BYTE, 0, 0, 0),
    (_JUMP_IF_EQUAL, 1, 0, MessageType.TRANSPORT),
    (_RETURN, 0, 0, 0),
    (_LOAD_BYTE, 0, 0, 7),
    (_SHIFT_RIGHT, 0, 0, 8 - RECEIVE_QUEUE_BITS),
    (_RETURN_RESULT, 0, 0, 0),
)
"""The queue of a transport message is the highest bits of its receiver index, which is ours; all
else, and what is too short, goes to the first. (Code, jumps if true and if false, value.)"""


@dataclass(frozen=True, slots=True)
class Received:
    """One datagram, how it came, and whether the network marked it as having met congestion."""

    datagram: bytes
    arrival: Arrival
    congestion: bool


Group = tuple[socket.socket, ...]
"""Sockets of one family. The first sends; before they are spread it is alone."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """All that is bound to one port; a family that the system does not have is empty."""

    port: int
    ipv4: Group
    ipv6: Group
    is_spread: bool = False
    """Whether peers have queues of their own, or it was tried."""

    @property
    def open(self) -> Group:
        """Those that are there."""
        return self.ipv4 + self.ipv6

    def close(self, keep: Group = ()) -> None:
        """Free the port, or let go of all sockets but some."""
        for one in self.open:
            if one not in keep:
                one.close()

    def spread(self, mark: int, *, merge: bool) -> Sockets:
        """Return the same with a socket for each of RECEIVE_QUEUES, where the system can do that.

        It puts the messages of a queue's peers into its socket from now on.
        """
        ipv4 = _spread(self.ipv4, mark, merge=merge)
        ipv6 = _spread(self.ipv6, mark, merge=merge)
        return Sockets(self.port, ipv4, ipv6, is_spread=True)

    def set_mark(self, mark: int) -> None:
        """Give all further datagrams a firewall mark, 0 for none. Raises SystemFault."""
        for one in self.open:
            try:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            except OSError as error:
                raise SystemFault(f"mark datagrams with {mark}", error.errno or 0) from error

    def send(
        self, datagram: bytes, endpoint: Endpoint, source: Source | None, traffic_class: int
    ) -> bool:
        """Send a datagram; return False if the source had to be left out. Raises SystemFault."""
        try:
            self._send(datagram, endpoint, source, traffic_class)
        except OSError as error:
            if source is None or error.errno not in _SOURCE_REFUSED:
                raise SystemFault(f"send to {endpoint}", error.errno or 0) from error
        else:
            return True
        try:
            self._send(datagram, endpoint, None, traffic_class)
        except OSError as error:
            raise SystemFault(f"send to {endpoint}", error.errno or 0) from error
        return False

    def _send(
        self, datagram: bytes, endpoint: Endpoint, source: Source | None, traffic_class: int
    ) -> None:
        host = str(endpoint.address)
        if isinstance(endpoint.address, IPv4Address):
            ancillary = _ipv4_ancillary(source, traffic_class)
            _first(self.ipv4).sendmsg((datagram,), ancillary, 0, (host, endpoint.port))
        else:
            ancillary = _ipv6_ancillary(source, traffic_class)
            address = (host, endpoint.port, 0, endpoint.scope_id)
            _first(self.ipv6).sendmsg((datagram,), ancillary, 0, address)


def open_sockets(port: int, mark: int, *, merge: bool = False) -> Sockets:
    """Return bound sockets for both families on one port, which the system picks if it is 0.

    `merge` lets the system hand over several datagrams as one. Raises SystemFault.
    """
    for _ in range(PORT_TRIES):
        try:
            return _open_pair(port, mark, merge=merge)
        except OSError as error:
            if port or error.errno != errno.EADDRINUSE:
                raise SystemFault(f"listen on port {port}", error.errno or 0) from error
    raise SystemFault("find a port that is free for both families", errno.EADDRINUSE)


def receive(one: socket.socket) -> Received | None:
    """Return the next datagram of a socket without waiting, None if there is none to be had."""
    try:
        datagram, ancillary, _, address = one.recvmsg(LARGEST_DATAGRAM, _ANCILLARY_SIZE)
    except OSError:
        # Besides "nothing yet": what became of an earlier datagram that we sent.
        return None
    source, traffic_class = _read_ancillary(ancillary)
    arrival = Arrival(_endpoint(address), source)
    congestion = traffic_class & CONGESTION_EXPERIENCED == CONGESTION_EXPERIENCED
    return Received(datagram, arrival, congestion)


def _open_pair(port: int, mark: int, *, merge: bool) -> Sockets:
    with ExitStack() as undo:
        ipv4 = _open(socket.AF_INET, port, mark, undo, merge=merge)
        chosen = port if not ipv4 else ipv4[0].getsockname()[1]
        ipv6 = _open(socket.AF_INET6, chosen, mark, undo, merge=merge)
        if not ipv4 + ipv6:
            raise OSError(errno.EAFNOSUPPORT, "neither IPv4 nor IPv6")
        undo.pop_all()
    return Sockets((ipv4 + ipv6)[0].getsockname()[1], ipv4, ipv6)


def _open(
    family: socket.AddressFamily, port: int, mark: int, undo: ExitStack, *, merge: bool
) -> Group:
    """Return one bound socket, none if the system does not have this family."""
    try:
        one = undo.enter_context(socket.socket(family, _DATAGRAMS))
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            return ()
        raise
    _bind(one, port, mark, merge=merge)
    return (one,)


def _spread(group: Group, mark: int, *, merge: bool) -> Group:
    if len(group) != 1:
        return group
    try:
        return group + _open_others(group[0], mark, merge=merge)
    except OSError:
        # An old kernel, or one of somebody else's making: all peers wait in one line then.
        with suppress(OSError):
            group[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
        return group


def _open_others(first: socket.socket, mark: int, *, merge: bool) -> Group:
    """Return the rest of a group. The port is shared from here on: that it is ours is known."""
    port = first.getsockname()[1]
    first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    with ExitStack() as undo:
        others = []
        for _ in range(1, RECEIVE_QUEUES):
            others.append(undo.enter_context(socket.socket(first.family, _DATAGRAMS)))
            others[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            _bind(others[-1], port, mark, merge=merge)
        _sort(first)
        undo.pop_all()
    return tuple(others)


def _sort(first: socket.socket) -> None:
    """Let the system choose a group's socket by what a message says. man 7 socket."""
    program = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*one) for one in _SORT))
    where = _PROGRAM.pack(len(_SORT), ctypes.addressof(program))
    first.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, where)


def _bind(one: socket.socket, port: int, mark: int, *, merge: bool) -> None:
    _prepare(one)
    if mark:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    _widen(one)
    if merge:
        with suppress(OSError):
            one.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    one.bind(("", port))


def _prepare(one: socket.socket) -> None:
    """Learn which local address was written to and how, and let routers cut what is too long."""
    if one.family == socket.AF_INET:
        one.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        one.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        one.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
    else:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
        one.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT)


def _widen(one: socket.socket) -> None:
    """Ask for long queues; only the privileged get past the system's limit."""
    for plain, force in (
        (socket.SO_RCVBUF, SO_RCVBUFFORCE),
        (socket.SO_SNDBUF, SO_SNDBUFFORCE),
    ):
        for option in (plain, force):
            with suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, option, BUFFER_SIZE)


def _first(group: Group) -> socket.socket:
    if not group:
        raise OSError(errno.EAFNOSUPPORT, "this system does not have the address family")
    return group[0]


def _ipv4_ancillary(source: Source | None, traffic_class: int) -> _Ancillary:
    ancillary: _Ancillary = []
    if source is not None and source.address.version == 4:
        info = _IPV4_INFO.pack(source.ifindex, source.address.packed, bytes(4))
        ancillary.append((socket.IPPROTO_IP, IP_PKTINFO, info))
    if traffic_class:
        ancillary.append((socket.IPPROTO_IP, socket.IP_TOS, _INT.pack(traffic_class)))
    return ancillary


def _ipv6_ancillary(source: Source | None, traffic_class: int) -> _Ancillary:
    ancillary: _Ancillary = []
    if source is not None and source.address.version == 6:
        info = _IPV6_INFO.pack(source.address.packed, source.ifindex)
        ancillary.append((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info))
    if traffic_class:
        ancillary.append((socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _INT.pack(traffic_class)))
    return ancillary


def _read_ancillary(ancillary: _Ancillary) -> tuple[Source | None, int]:
    """Return the local address that was written to, and the traffic class."""
    source, traffic_class = None, 0
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            ifindex, local, _ = _IPV4_INFO.unpack(data)
            source = Source(IPv4Address(local), ifindex)
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            local, ifindex = _IPV6_INFO.unpack(data)
            source = Source(IPv6Address(local), ifindex)
        elif (level, kind) == (socket.IPPROTO_IP, socket.IP_TOS):
            traffic_class = data[0]
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_TCLASS):
            (traffic_class,) = _INT.unpack(data)
    return source, traffic_class


def _endpoint(address: tuple[str, int] | tuple[str, int, int, int]) -> Endpoint:
    if len(address) == 2:
        return Endpoint(IPv4Address(address[0]), address[1])
    host, port, _, scope_id = address
    return Endpoint(IPv6Address(host.partition("%")[0]), port, scope_id)
