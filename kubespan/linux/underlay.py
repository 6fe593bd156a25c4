"""Which link leads to which endpoint, and how large a packet may be on the way there.

Asked as WireGuard's own datagrams are sent: with their firewall mark, so that the mesh is never
taken for what is under it. It looks again when links, addresses, routes or rules change, and tells
of the first two. Answers questions and never changes anything. man 7 rtnetlink.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from kubespan.linux.netlink import (
    ADDRESSES,
    ROUTING,
    RTMGRP_LINK,
    NetlinkThread,
    follow,
    library,
)
from kubespan.model.address import Endpoint
from kubespan.model.constants import KUBESPAN_LINK, KUBESPAN_MARK
from kubespan.model.host import UnderlyingLink

SETTLE_AFTER: Final = 0.05
"""Seconds between hearing of a change and looking: one command of an operator makes many."""

PAUSE: Final = 9.0
"""For how many times as long as it looked it then does not: it takes a tenth of the time at most,
on routers whose routes change all the time too."""

HOST_EVENTS: Final = frozenset(("RTM_NEWLINK", "RTM_DELLINK", "RTM_NEWADDR", "RTM_DELADDR"))
"""After which this host may be found elsewhere than before."""

Ways = Mapping[Endpoint, UnderlyingLink]


class UnderlayMonitor:
    """Reports how endpoints are reached, once when asked and then whenever that changes.

    `report` is called from the monitor's thread. Endpoints that nothing leads to are left out, and
    so are those that only the mesh itself leads to: it cannot carry itself. `hear_host` is called
    there too, once at the start and whenever links or addresses have changed.
    """

    def __init__(
        self,
        report: Callable[[Ways], object],
        hear_host: Callable[[], object] = lambda: None,
        *,
        link: str = KUBESPAN_LINK,
        mark: int = KUBESPAN_MARK,
    ) -> None:
        self._report = report
        self._hear_host = hear_host
        self._link = link
        self._mark = mark
        self._thread = NetlinkThread("kubespan-underlay", self._follow)
        self._endpoints: tuple[Endpoint, ...] = ()
        self._reported: Ways | None = None
        self._is_due = asyncio.Event()
        self._has_host_changed = False

    def start(self) -> None:
        """Begin to follow, in the calling thread's network namespace."""
        self._thread.start()

    def stop(self) -> None:
        """End; nothing is reported any more."""
        self._thread.stop()

    def look(self, endpoints: Iterable[Endpoint]) -> None:
        """Follow these endpoints from now on, and no others."""
        self._thread.call(partial(self._take, tuple(dict.fromkeys(endpoints))))

    def _take(self, endpoints: tuple[Endpoint, ...]) -> None:
        self._endpoints = endpoints
        self._reported = None
        self._is_due.set()

    async def _follow(self) -> None:
        pyroute2 = await library()
        groups = RTMGRP_LINK | ADDRESSES | ROUTING
        async with pyroute2.AsyncIPRoute() as queries, asyncio.TaskGroup() as tasks:
            tasks.create_task(follow(pyroute2, groups, self._begin, self._note))
            tasks.create_task(self._answer(pyroute2, queries))

    def _begin(self) -> None:
        """Messages may have been lost, so anything may have changed."""
        self._has_host_changed = True
        self._is_due.set()

    def _note(self, message: Any) -> None:
        if message["event"] in HOST_EVENTS:
            self._has_host_changed = True
        self._is_due.set()

    async def _answer(self, pyroute2: Any, queries: Any) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await self._is_due.wait()
            await asyncio.sleep(SETTLE_AFTER)
            self._is_due.clear()
            if self._has_host_changed:
                self._has_host_changed = False
                self._hear_host()
            began = clock()
            ways = await self._ways(pyroute2, queries)
            if ways != self._reported:
                self._reported = ways
                self._report(ways)
            await asyncio.sleep(PAUSE * (clock() - began))

    async def _ways(self, pyroute2: Any, queries: Any) -> Ways:
        links: dict[int, UnderlyingLink] = {}
        ways = {}
        for endpoint in self._endpoints:
            try:
                (route,) = await queries.route("get", **self._question(endpoint))
                index = route.get_attr("RTA_OIF")
                if index not in links:
                    links[index] = await _link(queries, index)
            except pyroute2.NetlinkError:
                continue
            link = links[index]
            if link.name != self._link:
                ways[endpoint] = UnderlyingLink(link.name, min(link.mtu, _mtu(route) or link.mtu))
        return ways

    def _question(self, endpoint: Endpoint) -> dict[str, str | int]:
        question: dict[str, str | int] = {"dst": str(endpoint.address), "mark": self._mark}
        if endpoint.scope_id:
            question["oif"] = endpoint.scope_id
        return question


async def _link(queries: Any, index: int) -> UnderlyingLink:
    (message,) = await queries.link("get", index=index)
    return UnderlyingLink(message.get_attr("IFLA_IFNAME"), message.get_attr("IFLA_MTU"))


def _mtu(route: Any) -> int:
    """Return what the route says, or what was learned of the path; 0 for neither."""
    metrics = route.get_attr("RTA_METRICS")
    return (metrics.get_attr("RTAX_MTU") or 0) if metrics is not None else 0
