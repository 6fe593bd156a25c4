"""Follows one interface, up or down and its MTU, into whatever network namespace it is moved.

The interface is known by its TUN descriptor alone: which namespace it is in, and what it is called
there, is asked of that. Where the namespace may not be entered, the interface counts as up.
man 2 setns, man 7 rtnetlink; Linux drivers/net/tun.c (TUNGETDEVNETNS).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from errno import EBADFD
from typing import Any, Final

from kubespan.linux.netlink import NetlinkThread, subscribe
from kubespan.linux.syscall import enter_network_namespace
from kubespan.linux.tun import Tun
from kubespan.model.errors import SystemFault

RTMGRP_LINK = 0x1
IFF_UP = 0x1
LOOK_AGAIN_AFTER = 0.005
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

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def stop(self) -> None:
        """End; nothing is reported any more."""
        self._thread.stop()

    async def _follow(self) -> None:
        import pyroute2  # noqa: PLC0415  slow, and only this thread has to wait for it

        try:
            while True:
                try:
                    await self._follow_here(pyroute2)
                except pyroute2.NetlinkError:
                    # Messages were lost: look afresh.
                    await asyncio.sleep(LOOK_AGAIN_AFTER)
        except (SystemFault, OSError) as fault:
            self._report(None if fault.errno == EBADFD else UNKNOWN)

    async def _follow_here(self, pyroute2: Any) -> None:
        """Report on the interface for as long as it is in the namespace that it is in now."""
        self._enter()
        async with pyroute2.AsyncIPRoute() as events, pyroute2.AsyncIPRoute() as queries:
            messages = await subscribe(events, RTMGRP_LINK)
            link = await self._find(pyroute2, queries)
            if link is None:
                await asyncio.sleep(LOOK_AGAIN_AFTER)
                return
            self._report(_state(link))
            await self._limit_bursts(pyroute2, queries, link["index"])
            async for message in messages:
                if message.get("index") != link["index"]:
                    continue
                if message["event"] == "RTM_DELLINK":
                    return
                self._report(_state(message))

    def _enter(self) -> None:
        namespace = self._tun.open_namespace()
        try:
            if not _is_own(namespace):
                enter_network_namespace(namespace)
        finally:
            os.close(namespace)

    async def _find(self, pyroute2: Any, queries: Any) -> Any:
        """Return the link, or None if it has left for another namespace meanwhile."""
        try:
            (link,) = await queries.link("get", ifname=self._tun.name)
        except pyroute2.NetlinkError:
            return None
        namespace = self._tun.open_namespace()
        try:
            # Otherwise what was found may be another interface of that name.
            return link if _is_own(namespace) else None
        finally:
            os.close(namespace)

    async def _limit_bursts(self, pyroute2: Any, queries: Any, index: int) -> None:
        if not self._longest_burst:
            return
        try:
            await queries.link("set", index=index, gso_max_segs=self._longest_burst)
        except pyroute2.NetlinkError:
            return  # a convenience only: longer bursts are sent in two parts


def _state(link: Any) -> LinkState:
    return LinkState(bool(link["flags"] & IFF_UP), link.get_attr("IFLA_MTU") or 0)


def _is_own(namespace: int) -> bool:
    """Tell whether this is the namespace that the calling thread is in."""
    try:
        return os.path.samestat(os.fstat(namespace), os.stat(OWN_NAMESPACE))  # noqa: PTH116
    except OSError:
        return False
