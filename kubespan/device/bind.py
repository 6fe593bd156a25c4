"""The UDP sockets of one interface: a wildcard one for each family, on the same port.

Opens, marks, sends and receives; never decides to whom. A new pair is made beside the old one, so
that a port that is taken costs nothing. man 7 ip, ipv6, udp; RFC 3542; kernel socket.c.
"""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from kubespan.model.address import Arrival, Endpoint, Source
from kubespan.model.errors import SystemFault

IP_PKTINFO = 8
IP_MTU_DISCOVER = 10
IP_PMTUDISC_DONT = 0
IPV6_MTU_DISCOVER = 23
IPV6_PMTUDISC_DONT = 0
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
UDP_GRO = 104

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


@dataclass(frozen=True, slots=True)
class Received:
    """One datagram, how it came, and whether the network marked it as having met congestion."""

    datagram: bytes
    arrival: Arrival
    congestion: bool


@dataclass(frozen=True, slots=True)
class Sockets:
    """A pair of bound sockets; a family that the system does not have is None."""

    port: int
    ipv4: socket.socket | None
    ipv6: socket.socket | None

    @property
    def open(self) -> tuple[socket.socket, ...]:
        """Those that are there."""
        return tuple(one for one in (self.ipv4, self.ipv6) if one is not None)

    def close(self) -> None:
        """Free the port."""
        for one in self.open:
            one.close()

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
            _present(self.ipv4).sendmsg((datagram,), ancillary, 0, (host, endpoint.port))
        else:
            ancillary = _ipv6_ancillary(source, traffic_class)
            address = (host, endpoint.port, 0, endpoint.scope_id)
            _present(self.ipv6).sendmsg((datagram,), ancillary, 0, address)


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
    ipv4 = _open(socket.AF_INET, port, mark, merge=merge)
    chosen = port if ipv4 is None else ipv4.getsockname()[1]
    try:
        ipv6 = _open(socket.AF_INET6, chosen, mark, merge=merge)
    except OSError:
        if ipv4 is not None:
            ipv4.close()
        raise
    if ipv6 is not None:
        chosen = ipv6.getsockname()[1]
    elif ipv4 is None:
        raise OSError(errno.EAFNOSUPPORT, "neither IPv4 nor IPv6")
    return Sockets(chosen, ipv4, ipv6)


def _open(
    family: socket.AddressFamily, port: int, mark: int, *, merge: bool
) -> socket.socket | None:
    """Return one bound socket, None if the system does not have this family."""
    try:
        one = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            return None
        raise
    try:
        _prepare_family(one, family)
        if mark:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        one.bind(("", port))
    except OSError:
        one.close()
        raise
    _widen(one)
    if merge:
        with suppress(OSError):
            one.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    return one


def _prepare_family(one: socket.socket, family: socket.AddressFamily) -> None:
    """Learn which local address was written to and how, and let routers cut what is too long."""
    if family == socket.AF_INET:
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


def _present(one: socket.socket | None) -> socket.socket:
    if one is None:
        raise OSError(errno.EAFNOSUPPORT, "this system does not have the address family")
    return one


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
