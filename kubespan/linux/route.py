"""Tells when a local address is gone, and when the way to somewhere leaves by another interface.

Listens in the namespace of the thread that starts it, which is where the sockets are. It answers
questions about routes but never changes one. man 7 rtnetlink.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Any

from kubespan.linux.netlink import ADDRESSES, ROUTING, NetlinkThread, follow, library
from kubespan.model.address import Endpoint, IPAddress, Source

SETTLE_AFTER = 0.02
"""Seconds between reports: one command of an operator makes many messages."""


@dataclass(frozen=True, slots=True)
class Way:
    """How datagrams reach an endpoint at present: answering from this source."""

    endpoint: Endpoint
    source: Source


class RouteMonitor:
    """Reports changes; asks about ways. Both callbacks are called from the monitor's thread.

    `report_change` gets the local addresses that are gone, maybe none, once at the start and after
    any change of addresses, routes or rules. `report_stale` gets those ways, maybe none, of the
    ones that `check` was given, that do not leave by the interface of their source any more.
    """

    def __init__(
        self,
        report_change: Callable[[frozenset[IPAddress]], object],
        report_stale: Callable[[frozenset[Way]], object],
    ) -> None:
        self._report_change = report_change
        self._report_stale = report_stale
        self._thread = NetlinkThread("kubespan-route", self._follow)
        self._gone: set[IPAddress] = set()
        # The newest question alone: an older one is about routes that are gone.
        self._check: tuple[tuple[Way, ...], int] = ((), 0)
        self._is_asked = asyncio.Event()
        self._is_settling = False
        self._has_news = False

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def stop(self) -> None:
        """End; nothing is reported any more."""
        self._thread.stop()

    def check(self, ways: Iterable[Way], mark: int) -> None:
        """Find out which of these ways are stale, for datagrams with this firewall mark."""
        request = (tuple(dict.fromkeys(ways)), mark)
        self._thread.call(partial(self._ask, request))

    def _ask(self, request: tuple[tuple[Way, ...], int]) -> None:
        self._check = request
        self._is_asked.set()

    async def _follow(self) -> None:
        pyroute2 = await library()
        async with pyroute2.AsyncIPRoute() as queries:
            answering = asyncio.create_task(self._answer(pyroute2, queries))
            try:
                # Nobody told of what changed before it listens.
                await follow(pyroute2, ADDRESSES | ROUTING, self._settle, self._note)
            finally:
                answering.cancel()

    def _note(self, message: Any) -> None:
        if message["event"] == "RTM_DELADDR":
            text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
            if text:
                self._gone.add(ip_address(text))
        self._settle()

    def _settle(self) -> None:
        """Tell of the first change at once, and of all that follow it closely in one go."""
        if self._is_settling:
            self._has_news = True
        else:
            self._tell()

    def _tell(self) -> None:
        gone, self._gone = frozenset(self._gone), set()
        self._is_settling, self._has_news = True, False
        asyncio.get_running_loop().call_later(SETTLE_AFTER, self._settled)
        self._report_change(gone)

    def _settled(self) -> None:
        self._is_settling = False
        if self._has_news:
            self._tell()

    async def _answer(self, pyroute2: Any, queries: Any) -> None:
        while True:
            await self._is_asked.wait()
            self._is_asked.clear()
            ways, mark = self._check
            stale = [way for way in ways if await _is_stale(pyroute2, queries, way, mark)]
            self._report_stale(frozenset(stale))


async def _is_stale(pyroute2: Any, queries: Any, way: Way, mark: int) -> bool:
    if way.endpoint.scope_id:
        return False  # its scope says which interface it leaves by
    egress = await _egress(pyroute2, queries, mark, dst=way.endpoint, src=way.source)
    if egress is None:
        # Unreachable from that address; if it is so from any, it may come back with its route.
        return await _egress(pyroute2, queries, mark, dst=way.endpoint) is not None
    return egress != way.source.ifindex


async def _egress(
    pyroute2: Any, queries: Any, mark: int, *, dst: Endpoint, src: Source | None = None
) -> int | None:
    """Return the number of the interface that datagrams leave by, None if there is no route."""
    query: dict[str, str | int] = {"dst": str(dst.address)}
    if src is not None:
        query["src"] = str(src.address)
    if mark:
        query["mark"] = mark
    try:
        (route,) = await queries.route("get", **query)
    except pyroute2.NetlinkError:
        return None
    egress: int | None = route.get_attr("RTA_OIF")
    return egress
