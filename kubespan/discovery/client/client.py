"""A membership with a network around it: carries out what it asks for, on the event loop.

Decides nothing. Every call is a task that belongs to its channel and tells the membership how it
ended, unless the channel was closed before. Whoever made the client hears what the membership
publishes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final, TypeAlias

from grpc import aio

from kubespan.discovery.client.conversation import CallFailed, Conversation
from kubespan.discovery.client.effects import (
    AskList,
    Call,
    Connect,
    Disconnect,
    Effect,
    Failure,
    FailureReason,
    Left,
    OpenWatch,
    Publish,
    SayHello,
    SeenAt,
    SendDelete,
    SendUpdate,
    Tell,
)
from kubespan.discovery.client.membership import Membership
from kubespan.discovery.record import AffiliateRecord
from kubespan.model.resources import Affiliate

LONGEST_NAP: Final = 30.0
"""Seconds after which we look at the clock again: ours goes on while the machine sleeps, and the
event loop's does not."""

Report: TypeAlias = Publish | SeenAt | Tell
Dial: TypeAlias = Callable[[str], aio.Channel]
Work: TypeAlias = Callable[[], Coroutine[None, None, list[Effect]]]
"""Makes a call, and returns what follows from its answer."""


class Client:
    """The client of one service; `start` and `stop` it once, on a running event loop."""

    def __init__(
        self,
        membership: Membership,
        cluster_id: str,
        node_id: str,
        dial: Dial,
        hear: Callable[[Report], None],
    ) -> None:
        self.membership = membership
        self._cluster_id = cluster_id
        self._node_id = node_id
        self._dial = dial
        self._hear = hear
        self._channels: dict[int, aio.Channel] = {}
        self._calls: dict[int, set[asyncio.Task[None]]] = {}
        self._closings: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._left = asyncio.Event()

    def start(self) -> None:
        """Begin the conversation."""
        self._perform(self.membership.start())

    async def stop(self) -> None:
        """Withdraw what was registered, and close everything; takes a few seconds at most."""
        self._perform(self.membership.leave(now()))
        await self._left.wait()
        await asyncio.gather(*self._closings)

    def remember(self, members: Mapping[str, Affiliate]) -> None:
        """Take these for members until the service tells better."""
        self._perform(self.membership.remember(members))

    def set_record(self, data: bytes, endpoints: Sequence[bytes]) -> None:
        """From now on this is our own record, sealed."""
        self._perform(self.membership.set_record(data, endpoints, now()))

    def set_harvest(self, endpoints: Mapping[str, tuple[bytes, ...]]) -> None:
        """From now on these sealed endpoints of others, by id, are told to the service."""
        self._perform(self.membership.set_harvest(endpoints, now()))

    def redial(self) -> None:
        """Begin the conversation anew: the host has lost an address."""
        self._perform(self.membership.redial(now()))

    def set_live(self, ids: AbstractSet[str]) -> None:
        """To these members our tunnel is up."""
        self._perform(self.membership.set_live(ids, now()))

    # -------------------------------------------------------------------------------- effects

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Publish() | SeenAt() | Tell():
                    self._hear(effect)
                case Connect(channel, target):
                    self._channels[channel] = self._dial(target)
                    self._calls[channel] = set()
                case Disconnect(channel):
                    self._disconnect(channel)
                case Left():
                    self._left.set()
                case _:
                    self._begin(effect.channel, *self._call(effect))
        self._arm()

    def _disconnect(self, channel: int) -> None:
        for task in self._calls.pop(channel):
            task.cancel()
        closing = asyncio.ensure_future(self._channels.pop(channel).close())
        self._closings.add(closing)
        closing.add_done_callback(self._closings.discard)

    def _begin(self, channel: int, call: Call, id_: str, work: Work) -> None:
        async def run() -> None:
            try:
                effects = await work()
            except CallFailed as failed:
                failure = failed.failure
                effects = self.membership.handle_failure(channel, call, failure, now(), id_)
            self._perform(effects)

        calls = self._calls[channel]
        task = asyncio.ensure_future(run())
        calls.add(task)
        task.add_done_callback(calls.discard)

    def _arm(self) -> None:
        """Wake up for the membership's next timeout, and for no other."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self.membership.next_timeout
        if at is not None:
            nap = min(max(at - now(), 0.0), LONGEST_NAP)
            self._timer = asyncio.get_running_loop().call_later(nap, self._wake)

    def _wake(self) -> None:
        self._perform(self.membership.handle_timeout(now()))

    # ---------------------------------------------------------------------------------- calls

    def _call(
        self, effect: SayHello | OpenWatch | SendUpdate | SendDelete | AskList
    ) -> tuple[Call, str, Work]:
        """Return a call, whose record it is about, and what makes it and hears the answer."""
        channel = effect.channel
        talk = Conversation(self._channels[channel], self._cluster_id, self._node_id)
        match effect:
            case SayHello():
                return Call.HELLO, "", partial(self._say_hello, channel, talk)
            case OpenWatch():
                return Call.WATCH, "", partial(self._watch, channel, talk)
            case SendUpdate(record=record):
                return Call.UPDATE, record.id, partial(self._send_update, channel, talk, record)
            case SendDelete():
                return Call.DELETE, "", partial(self._send_delete, channel, talk)
            case AskList():
                return Call.LIST, "", partial(self._ask_list, channel, talk)

    async def _say_hello(self, channel: int, talk: Conversation) -> list[Effect]:
        greeting = await talk.hello()
        return self.membership.receive_hello(channel, greeting.redirect, greeting.client_ip, now())

    async def _watch(self, channel: int, talk: Conversation) -> list[Effect]:
        async for news in talk.watch():
            effects = self.membership.receive_watch(channel, news.records, news.deleted, now())
            self._perform(effects)
        return self.membership.handle_failure(
            channel, Call.WATCH, Failure(FailureReason.ENDED), now()
        )

    async def _send_update(
        self, channel: int, talk: Conversation, record: AffiliateRecord
    ) -> list[Effect]:
        await talk.update(record)
        return self.membership.receive_acknowledgement(channel, record.id, now())

    async def _send_delete(self, channel: int, talk: Conversation) -> list[Effect]:
        await talk.delete()
        return self.membership.receive_withdrawal(channel)

    async def _ask_list(self, channel: int, talk: Conversation) -> list[Effect]:
        records = await talk.list()
        return self.membership.receive_list(channel, records, now())


def now() -> float:
    """Return seconds since boot, time asleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
