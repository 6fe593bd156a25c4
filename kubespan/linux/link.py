"""Follows one interface, up or down and its MTU, into whatever network namespace it is moved.

The interface is known by its TUN descriptor alone: which namespace it is in, and what it is called
there, is asked of that. It never stays in a namespace but its own, as neither a thread nor a
socket: either would keep a deleted namespace alive. Messages only say when to look; from another
namespace they come only once that has a number in ours. Where the namespace may not be entered,
the interface counts as up. man 2 setns, man 7 rtnetlink; Linux drivers/net/tun.c
(TUNGETDEVNETNS), net/netlink/af_netlink.c (NETLINK_LISTEN_ALL_NSID).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EBADFD, ENODEV
from typing import Any, Final

from kubespan.linux.netlink import (
    LOOK_AGAIN_AFTER,
    RTMGRP_LINK,
    Messages,
    NetlinkThread,
    library,
    subscribe,
)
from kubespan.linux.syscall import enter_network_namespace
from kubespan.linux.tun import Tun
from kubespan.model.errors import SystemFault

SIOCGIFFLAGS = 0x8913
SIOCGIFMTU = 0x8921
IFF_UP = 0x1
LOOK_AT_LEAST_EVERY = 1.0
"""Seconds: for a namespace that cannot be given a number, so that no messages come from it."""

OWN_NAMESPACE = "/proc/thread-self/ns/net"


@dataclass(frozen=True, slots=True)
class LinkState:
    """What the operator has made of the interface."""

    is_up: bool
    mtu: int
    """0 when it is not known."""


UNKNOWN: Final = LinkState(is_up=True, mtu=0)
"""What is assumed of an interface that cannot be looked at."""


class LinkMonitor:
    """Reports the state of an interface, once at the start and then whenever it changes.

    `report` is called from the monitor's thread, with None when the interface is deleted. A device
    that is read in bursts gets `longest_burst` as the most segments in one frame, if not 0.
    """

    def __init__(
        self, tun: Tun, report: Callable[[LinkState | None], object], *, longest_burst: int = 0
    ) -> None:
        self._tun = tun
        self._report = report
        self._longest_burst = longest_burst
        self._thread = NetlinkThread("kubespan-link", self._follow)
        self._reported: LinkState | None = None
        self._numbered: os.stat_result | None = None

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def stop(self) -> None:
        """End; nothing is reported any more."""
        self._thread.stop()

    async def _follow(self) -> None:
        try:
            pyroute2 = await library(meanwhile=self._look)
            while True:
                try:
                    await self._watch(pyroute2)
                except pyroute2.NetlinkError:
                    # Messages were lost: look afresh.
                    await asyncio.sleep(LOOK_AGAIN_AFTER)
        except (SystemFault, OSError) as fault:
            self._report(None if fault.errno == EBADFD else UNKNOWN)

    async def _watch(self, pyroute2: Any) -> None:
        """Look whenever there is a reason to, until messages are lost or the interface is."""
        async with pyroute2.AsyncIPRoute(all_ns=True) as events, pyroute2.AsyncIPRoute() as queries:
            is_due = asyncio.Event()
            messages = await subscribe(events, RTMGRP_LINK)
            listening = asyncio.create_task(self._listen(messages, is_due))
            listening.add_done_callback(lambda _: is_due.set())
            try:
                with self._told_of_the_end(is_due):
                    await self._limit_bursts(pyroute2, queries)
                    while not listening.done():
                        is_due.clear()
                        await self._number(pyroute2, queries)
                        if not self._look():
                            await asyncio.sleep(LOOK_AGAIN_AFTER)
                            continue
                        with suppress(TimeoutError):
                            async with asyncio.timeout(LOOK_AT_LEAST_EVERY):
                                await is_due.wait()
                await listening
            finally:
                listening.cancel()

    async def _listen(self, messages: Messages, is_due: asyncio.Event) -> None:
        async for message in messages:
            if message.get_attr("IFLA_IFNAME") == self._tun.name:
                is_due.set()

    @contextmanager
    def _told_of_the_end(self, is_due: asyncio.Event) -> Iterator[None]:
        """Have it looked at when the interface is deleted, of which another namespace tells not.

        Nothing is read from the device: only that it has come to its end makes this wake up.
        """
        with select.epoll() as end:
            end.register(self._tun.descriptor, 0)
            loop = asyncio.get_running_loop()
            loop.add_reader(end.fileno(), is_due.set)
            try:
                yield
            finally:
                loop.remove_reader(end.fileno())

    def _look(self) -> bool:
        """Report what has changed; False if the interface moved meanwhile."""
        namespace = self._tun.open_namespace()
        try:
            state = self._visit(namespace)
        finally:
            os.close(namespace)
        if state is not None and state != self._reported:
            self._reported = state
            self._report(state)
        return state is not None

    async def _number(self, pyroute2: Any, queries: Any) -> None:
        """Give the interface's namespace a number in ours, so that its messages reach us."""
        namespace = self._tun.open_namespace()
        try:
            identity = os.fstat(namespace)
            if self._numbered is None or not os.path.samestat(identity, self._numbered):
                with suppress(pyroute2.NetlinkError):  # it has one
                    await queries.set_netnsid(fd=namespace)
                self._numbered = identity
        finally:
            os.close(namespace)

    def _visit(self, namespace: int) -> LinkState | None:
        """Return what the interface is like in a namespace, None if it is not there any more."""
        if _is_own(namespace):
            return self._inspect()
        with open(OWN_NAMESPACE) as own:  # noqa: PTH123  a namespace is no file with a path
            enter_network_namespace(namespace)
            try:
                return self._inspect()
            finally:
                enter_network_namespace(own.fileno())

    def _inspect(self) -> LinkState | None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            name = self._tun.name.encode()
            try:
                flags = _interface_request(asking, SIOCGIFFLAGS, name, "H")
                mtu = _interface_request(asking, SIOCGIFMTU, name, "i")
            except OSError as error:
                if error.errno == ENODEV:
                    return None
                raise
        here = self._tun.open_namespace()
        try:
            # Otherwise what was found may be another interface of that name.
            return LinkState(bool(flags & IFF_UP), mtu) if _is_own(here) else None
        finally:
            os.close(here)

    async def _limit_bursts(self, pyroute2: Any, queries: Any) -> None:
        if not self._longest_burst:
            return
        # A convenience only: where the interface has left already, longer bursts are sent in two.
        with suppress(pyroute2.NetlinkError):
            index = self._tun.index_here()
            if index:
                await queries.link("set", index=index, gso_max_segs=self._longest_burst)


def _interface_request(asking: socket.socket, request: int, name: bytes, kind: str) -> int:
    answer = fcntl.ioctl(asking, request, struct.pack("16s24x", name))
    value: int
    (value,) = struct.unpack_from(kind, answer, 16)
    return value


def _is_own(namespace: int) -> bool:
    """Tell whether this is the namespace that the calling thread is in."""
    try:
        return os.path.samestat(os.fstat(namespace), os.stat(OWN_NAMESPACE))  # noqa: PTH116
    except OSError:
        return False
