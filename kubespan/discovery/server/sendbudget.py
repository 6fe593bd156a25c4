"""How much may be on its way to clients that have not taken it yet.

A full cluster is 4.6 MB in one message, and a client that asks for it without reading keeps it in
our memory for as long as it likes. So each network may have a few such messages waiting and no
more: the next one is not even made before one is taken. Over all networks there is a limit too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from kubespan.discovery.record import AffiliateRecord
from kubespan.discovery.server.refusal import Refusal, RefusalCode

BUDGET_OF_ONE: Final = 16 << 20
"""Bytes for one network: three of the largest messages. One message is always allowed."""

BUDGET_OF_ALL: Final = 1 << 30

SMALL: Final = 64 << 10
"""Bytes up to which a message is not worth the trouble: that many streams are bounded otherwise."""

RECORD_OVERHEAD: Final = 16
ENDPOINT_OVERHEAD: Final = 4


@dataclass(slots=True)
class _Account:
    spent: int = 0
    waiting: deque[tuple[int, asyncio.Future[None]]] = field(default_factory=deque)

    def has_room(self, size: int) -> bool:
        return self.spent == 0 or self.spent + size <= BUDGET_OF_ONE


class SendBudget:
    """Who has how much on its way."""

    def __init__(self, most: int = BUDGET_OF_ALL) -> None:
        self._most = most
        self._accounts: dict[bytes, _Account] = {}
        self.spent = 0

    async def spend(self, address: bytes, size: int) -> Callable[[], None]:
        """Wait for room; return what is to be called once the message is taken, or will not be.

        Raises Refusal if there is too much on its way to everybody.
        """
        if size <= SMALL:
            return _nothing
        key = network(address)
        account = self._accounts.setdefault(key, _Account())
        if account.waiting or not account.has_room(size):
            await self._wait(key, account, size)
        else:
            account.spent += size
        if self.spent + size > self._most:
            self._release(key, account, size)
            raise Refusal(RefusalCode.RESOURCE_EXHAUSTED, "the server is sending all it can")
        self.spent += size
        return self._taken(key, account, size)

    @asynccontextmanager
    async def spending(self, address: bytes, size: int) -> AsyncIterator[None]:
        """What is in here is sent, or not, when it ends. As `spend`."""
        taken = await self.spend(address, size)
        try:
            yield
        finally:
            taken()

    async def _wait(self, key: bytes, account: _Account, size: int) -> None:
        """Return when the account has been charged."""
        turn = asyncio.get_running_loop().create_future()
        place = (size, turn)
        account.waiting.append(place)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                account.waiting.remove(place)
            else:
                account.spent -= size
            self._settle(key, account)
            raise

    def _taken(self, key: bytes, account: _Account, size: int) -> Callable[[], None]:
        def taken() -> None:
            self.spent -= size
            self._release(key, account, size)

        return taken

    def _release(self, key: bytes, account: _Account, size: int) -> None:
        account.spent -= size
        self._settle(key, account)

    def _settle(self, key: bytes, account: _Account) -> None:
        """Let those go on that have room now, in order; forget an account that nobody uses."""
        while account.waiting and account.has_room(account.waiting[0][0]):
            size, turn = account.waiting.popleft()
            account.spent += size
            turn.set_result(None)
        if not account.spent and not account.waiting:
            self._accounts.pop(key, None)


def network(address: bytes) -> bytes:
    """Return whose budget it is: an IPv4 address, or the /64 that one IPv6 host can fill alone."""
    return address[:8] if len(address) >= 16 else address


def size_of(records: Iterable[AffiliateRecord]) -> int:
    """Return about how many bytes records are on the wire."""
    return sum(
        RECORD_OVERHEAD
        + len(record.id)
        + len(record.data)
        + sum(ENDPOINT_OVERHEAD + len(endpoint) for endpoint in record.endpoints)
        for record in records
    )


def _nothing() -> None:
    """Do nothing: a small message has cost nothing."""
