"""A host in a namespace that is steered, and all that steering leaves on it, to be compared."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import structlog
from structlog.testing import CapturingLogger
from structlog.typing import FilteringBoundLogger

from tests.netns.namespace import CommandFailedError, Namespace

_Result = TypeVar("_Result")
Loop = Callable[[], asyncio.AbstractEventLoop]


def quiet_log() -> tuple[FilteringBoundLogger, CapturingLogger]:
    """Return a logger, and what it has been given."""
    kept = CapturingLogger()
    log: FilteringBoundLogger = structlog.wrap_logger(
        kept, processors=[], wrapper_class=structlog.make_filtering_bound_logger(0)
    )
    return log, kept


def run_in(
    namespace: Namespace, main: Callable[[], Awaitable[_Result]], loop: Loop | None = None
) -> _Result:
    """Run a coroutine on an event loop of its own in there."""

    async def inside() -> _Result:
        return await main()

    def run() -> _Result:
        with asyncio.Runner(loop_factory=loop) as runner:
            return runner.run(inside())

    return namespace.inside(run)


def by_name() -> int:
    """Return the index of the link that is called as the mesh's is: here it is the mesh's own."""
    with suppress(OSError):
        return socket.if_nametoindex("kubespan")
    return 0


def steering(namespace: Namespace) -> dict[str, Any]:
    """Return all that steering may have left in there, as `ip` and `nft` tell it."""
    commands = {
        "rules": ("rule", "show"),
        "rules6": ("-6", "rule", "show"),
        "routes": ("route", "show", "table", "180"),
        "routes6": ("-6", "route", "show", "table", "180"),
        "refused": ("-6", "route", "show", "type", "unreachable"),
    }
    found: dict[str, Any] = {
        name: sorted(line.strip() for line in _said(namespace, *words).splitlines())
        for name, words in commands.items()
    }
    return {**found, "link": link(namespace), "nftables": namespace.run("nft", "list", "ruleset")}


def link(namespace: Namespace) -> tuple[bool, int, tuple[str, ...]] | None:
    """Return of the mesh's link whether it is up, its MTU and its global addresses."""
    try:
        (said,) = json.loads(namespace.ip("-j", "address", "show", "kubespan"))
    except CommandFailedError:
        return None
    addresses = [a for a in said["addr_info"] if a["scope"] == "global"]
    return (
        "UP" in said["flags"],
        said["mtu"],
        tuple(sorted(f"{a['local']}/{a['prefixlen']}" for a in addresses)),
    )


def _said(namespace: Namespace, *words: str) -> str:
    try:
        return namespace.ip(*words)
    except CommandFailedError as failure:
        if "FIB table does not exist" in str(failure):
            return ""
        raise
