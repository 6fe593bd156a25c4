"""Where discovery services are: what is said to them goes past the mesh."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import ip_address
from itertools import chain
from typing import Final

from kubespan.model.address import Endpoint

INTERVAL: Final = 300.0
"""Seconds after which they are asked for again."""

RETRY_INTERVAL: Final = 10.0
"""The same while one of them was never found: the network may not be there yet."""

MOST_ADDRESSES: Final = 8
"""That are taken of one name and family: whoever answers may name any. A service has a few."""

PATIENCE: Final = 20.0
"""Seconds after which a name leads nowhere. Other names are not kept waiting any longer."""


class ServicePlaces:
    """What the names of services lead to. Names that lead nowhere keep what they led to before."""

    def __init__(
        self, targets: Callable[[], Iterable[str]], hear_change: Callable[[], object]
    ) -> None:
        self._targets = targets
        self._hear_change = hear_change
        self._known: dict[str, frozenset[Endpoint]] = {}
        self._asked: set[str] = set()
        self._is_due = asyncio.Event()

    @property
    def endpoints(self) -> frozenset[Endpoint]:
        """All of them: addresses and TCP ports."""
        return frozenset[Endpoint]().union(*self._known.values())

    def notice(self) -> None:
        """Ask at once if there are other services now."""
        if set(self._targets()) != self._asked:
            self._is_due.set()

    async def follow(self) -> None:
        """Ask again and again, until cancelled."""
        while True:
            self._is_due.clear()
            targets = self._asked = set(self._targets())
            await asyncio.gather(*map(self._ask, targets))
            # Only now, for others may lead to the same place.
            self._know({one: known for one, known in self._known.items() if one in targets})
            is_complete = len(self._known) == len(targets)
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL if is_complete else RETRY_INTERVAL):
                    await self._is_due.wait()

    async def _ask(self, target: str) -> None:
        """Tell what is found at once: another name may take its time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                if found := await _resolve(target):
                    self._know({**self._known, target: found})

    def _know(self, known: dict[str, frozenset[Endpoint]]) -> None:
        before, self._known = self.endpoints, known
        if self.endpoints != before:
            self._hear_change()


async def _resolve(target: str) -> frozenset[Endpoint]:
    host, _, port = target.rpartition(":")
    # Some texts are no names at all, which is a UnicodeError.
    with suppress(OSError, UnicodeError):
        infos = await asyncio.get_running_loop().getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM
        )
        return _few({_endpoint(str(info[4][0]), int(info[4][1])) for info in infos})
    return frozenset()


def _few(found: set[Endpoint]) -> frozenset[Endpoint]:
    """Of many take the same ones each time, whatever their order."""
    ordered = sorted(found, key=lambda one: one.address.packed)
    families = ([one for one in ordered if one.address.version == family] for family in (4, 6))
    return frozenset(chain.from_iterable(family[:MOST_ADDRESSES] for family in families))


def _endpoint(host: str, port: int) -> Endpoint:
    return Endpoint(ip_address(host.partition("%")[0]), port)
