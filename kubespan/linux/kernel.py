"""Reads and changes links, addresses, routes and rules; tells when one that matters has changed.

Lives in the network namespace of the thread that starts it. Decides nothing: what is to be done is
said by `kubespan.linux.steering`. man 7 rtnetlink.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from errno import EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, EEXIST, ENODEV, ENOENT, EOPNOTSUPP, ESRCH
from functools import partial
from os import strerror
from pathlib import Path
from typing import Any, Final

from kubespan.linux.doorbell import Doorbell
from kubespan.linux.netlink import (
    ROUTING,
    RTMGRP_IPV6_IFADDR,
    RTMGRP_LINK,
    NetlinkThread,
    follow,
    library,
)
from kubespan.linux.report import Failure
from kubespan.linux.rtmessage import (
    FAMILY,
    RTN_UNREACHABLE,
    RTPROT_STATIC,
    is_change_for,
    parse_address,
    parse_link,
    parse_route,
    parse_rule,
    request,
)
from kubespan.linux.steering import MAIN_TABLE, VERSIONS, Facts, LinkSetting, Rule, Step, Verb
from kubespan.model.constants import KUBESPAN_REFUSAL_METRIC, KUBESPAN_TABLE
from kubespan.model.errors import SystemFault

GROUPS: Final = RTMGRP_LINK | RTMGRP_IPV6_IFADDR | ROUTING
ATTEMPTS: Final = 8
"""How often to begin again when something changes under the reading."""

NETWORK_FILES: Final = Path("/proc/thread-self/net")
"""Among them if_inet6, if and only if the kernel has IPv6. Linux net/ipv6/addrconf.c."""

WITHOUT_FAMILY: Final = (EAFNOSUPPORT, EOPNOTSUPP)
"""What a kernel says that was started without IPv6: there is nothing to read."""

IS_GONE: Final = (ESRCH, ENOENT, ENODEV, EADDRNOTAVAIL)

Report = Callable[[], object]
Performed = tuple[tuple[str, ...], tuple[Failure, ...]]
"""What was done, and what was refused."""


class Kernel:
    """The kernel, from `start` until `stop`, as far as steering needs it.

    `report_change` and `report_table_change` are called from a thread of its own, after any change
    of links, addresses, routes or rules that may be one of ours, whoever made it, and of our table.
    """

    def __init__(self, link: str, report_change: Report, report_table_change: Report) -> None:
        self._link = link
        self._report_change = report_change
        self._report_table_change = report_table_change
        self._thread = NetlinkThread("kubespan-steering", self._follow)
        self._is_ready = asyncio.Event()
        self._index = 0
        self._doorbell: Doorbell | None = None
        self._pyroute2: Any = None
        self._queries: Any = None

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End; nothing is reported any more, and nothing is changed."""
        self._thread.stop()

    async def listen_to_table(self) -> None:
        """Report changes of our nftables table too, from now on. Raises SystemFault."""
        await self._thread.ask(self._open_doorbell)

    async def read(self, index: int) -> Facts:
        """Return what there is. Raises SystemFault, with EAGAIN if it changes without a pause.

        `index` is that of the mesh's own link, 0 where it is not here: a name may be anybody's.
        """
        return await self._thread.ask(partial(self._read, index))

    async def perform(self, steps: Iterable[Step]) -> Performed:
        """Do the steps in their order; one that is refused does not keep the others from it."""
        return await self._thread.ask(partial(self._perform, tuple(steps)))

    async def _follow(self) -> None:
        self._pyroute2 = await library()
        try:
            async with self._pyroute2.AsyncIPRoute(strict_check=True) as self._queries:
                self._is_ready.set()
                # Nobody told of what changed before it listens.
                await follow(self._pyroute2, GROUPS, self._report_change, self._note)
        finally:
            if self._doorbell is not None:
                self._doorbell.close()

    def _note(self, message: Any) -> None:
        if is_change_for(message, self._link, self._index):
            self._report_change()

    async def _open_doorbell(self) -> None:
        if self._doorbell is None:
            self._doorbell = Doorbell()
            asyncio.get_running_loop().add_reader(self._doorbell.fileno(), self._hear_doorbell)

    def _hear_doorbell(self) -> None:
        if self._doorbell is not None and self._doorbell.has_rung():
            self._report_table_change()

    async def _read(self, index: int) -> Facts:
        await self._is_ready.wait()
        for _ in range(ATTEMPTS):
            try:
                return await self._read_once(index)
            except self._pyroute2.NetlinkDumpInterrupted:
                continue
            except self._pyroute2.NetlinkError as error:
                raise SystemFault("read routes and rules", error.code) from error
        raise SystemFault("read routes and rules", EAGAIN)

    async def _read_once(self, index: int) -> Facts:
        self._index = index
        link = await self._read_link(index=index) if index else None
        named = await self._read_link(ifname=self._link)
        addresses, rules, routes = [], [], []
        if link:
            addresses = await self._dump("addr", family=FAMILY[6], index=link.index)
        for version in VERSIONS:
            family = FAMILY[version]
            rules += await self._dump("rule", family=family)
            routes += await self._dump("route", family=family, table=KUBESPAN_TABLE)
        refusing = {"table": MAIN_TABLE, "type": RTN_UNREACHABLE, "proto": RTPROT_STATIC}
        refusals = map(parse_route, await self._dump("route", family=FAMILY[6], **refusing))
        return Facts(
            link,
            tuple(parse_address(message) for message in addresses if message["scope"] == 0),
            tuple(map(parse_rule, rules)),
            (
                *map(parse_route, routes),
                *(route for route in refusals if route.metric == KUBESPAN_REFUSAL_METRIC),
            ),
            _versions(),
            named.index if named is not None and named.index != index else 0,
        )

    async def _read_link(self, **which: str | int) -> LinkSetting | None:
        try:
            (message,) = await self._queries.link("get", **which)
        except self._pyroute2.NetlinkError as error:
            if error.code == ENODEV:
                return None
            raise
        return parse_link(message)

    async def _dump(self, method: str, **words: Any) -> list[Any]:
        try:
            messages = await getattr(self._queries, method)("dump", **words)
            return [message async for message in messages]
        except self._pyroute2.NetlinkError as error:
            # Nothing is in our table as long as there is none.
            if error.code in WITHOUT_FAMILY or error.code == ENOENT:
                return []
            raise

    async def _perform(self, steps: tuple[Step, ...]) -> Performed:
        await self._is_ready.wait()
        done, failures = [], []
        for step in steps:
            errno = await self._perform_one(step)
            if errno:
                failures.append(Failure(str(step), errno, strerror(errno)))
            else:
                done.append(str(step))
        return tuple(done), tuple(failures)

    async def _perform_one(self, step: Step) -> int:
        """Have one step done; return 0, or the error number with which it was refused."""
        method, words, options = request(step)
        try:
            await getattr(self._queries, method)(*words, **options)
        except self._pyroute2.NetlinkError as error:
            return 0 if _is_as_good(step, error.code) else int(error.code)
        return 0


def _versions() -> tuple[int, ...]:
    """Return the versions of IP that this kernel has; IPv6 may have been left out at its start.

    A socket does not tell: a service manager may forbid us those of IPv6 on a host that has it.
    Where nobody can say, it is there.
    """
    try:
        is_absent = all(file.name != "if_inet6" for file in NETWORK_FILES.iterdir())
    except OSError:
        is_absent = False
    return VERSIONS[:1] if is_absent else VERSIONS


def _is_as_good(step: Step, errno: int) -> bool:
    """Whether what was refused is so already: gone, or there by somebody else's hand."""
    if step.verb is Verb.REMOVE:
        return errno in IS_GONE
    return errno == EEXIST and isinstance(step.subject, Rule)
