"""A membership on a real network: over gRPC, on the loopback interface."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from kubespan.discovery.client.channel import open_channel
from kubespan.discovery.client.client import Client, Report
from kubespan.discovery.client.effects import Publish, SeenAt, Tell
from kubespan.discovery.client.membership import Membership, Phase
from tests.discovery.host import CLUSTER, Host, host, until
from tests.discovery.records import affiliate, open_record


class Member:
    """One client and what it reports."""

    def __init__(self, id_: str, target: str) -> None:
        self.reports: list[Report] = []
        self.membership = Membership("test", target, id_, open_record, random.random, bool)
        dial = partial(open_channel, insecure=True)
        self.client = Client(self.membership, CLUSTER, id_, dial, self.reports.append)

    @property
    def hosts(self) -> dict[str, str]:
        return {id_: one.hostname for id_, one in self.membership.members.items()}

    def told(self, text: str) -> bool:
        return any(isinstance(one, Tell) and text in one.text for one in self.reports)


@asynccontextmanager
async def member(id_: str, where: Host | str, *, announces: bool = True) -> AsyncIterator[Member]:
    target = where if isinstance(where, str) else str(where.server.listening)
    one = Member(id_, target)
    if announces:
        one.client.set_record(id_.encode(), [])
    one.client.start()
    try:
        yield one
    finally:
        await one.client.stop()


def test_members_see_each_other_come_change_and_go() -> None:
    async def scenario() -> None:
        async with host() as one, member("a", one) as a:
            async with member("b", one) as b, member("onlooker", one, announces=False) as c:
                await until(lambda: a.hosts == {"b": "b"} and b.hosts == {"a": "a"})
                b.client.set_record(b"changed", [])
                await until(lambda: a.hosts == {"b": "changed"})
                await until(lambda: c.hosts == {"a": "a", "b": "changed"})
            await until(lambda: a.hosts == {})
            assert a.told("connected to 127.0.0.1")
            assert a.told("registered")
            assert any(isinstance(report, SeenAt) for report in a.reports)
        assert [record.id for record in one.registry.list(CLUSTER, 0.0)] == []

    asyncio.run(scenario())


def test_service_that_comes_back_is_found_again() -> None:
    async def scenario() -> None:
        async with host() as one:
            where = str(one.server.listening)
            a, b = Member("a", where), Member("b", where)
            for each in (a, b):
                each.client.set_record(each.membership._own_id.encode(), [])
                each.client.start()
            await until(lambda: a.hosts == {"b": "b"} and b.hosts == {"a": "a"})
        await until(lambda: a.membership.phase is Phase.WAITING)
        assert a.hosts == {"b": "b"}
        async with host(address=where) as one:
            await until(lambda: one.registry.counts.affiliates == 2)
            await until(lambda: a.membership.phase is b.membership.phase is Phase.WATCHING)
            await asyncio.gather(a.client.stop(), b.client.stop())
            assert one.registry.counts.affiliates == 0
        assert a.hosts == {"b": "b"}

    asyncio.run(scenario())


def test_redirect_is_followed() -> None:
    async def scenario() -> None:
        async with host() as second, host(redirect=str(second.server.listening)) as first:
            async with member("a", first) as a, member("b", second) as b:
                await until(lambda: a.hosts == {"b": "b"} and b.hosts == {"a": "a"})
            assert first.registry.counts.affiliates == 0

    asyncio.run(scenario())


def test_ipv6_literal_is_a_target() -> None:
    async def scenario() -> None:
        async with host(address="[::1]:0") as one, member("a", one):
            await until(lambda: one.registry.counts.affiliates == 1)

    asyncio.run(scenario())


def test_what_is_set_reaches_the_service_and_the_members() -> None:
    async def scenario() -> None:
        async with host() as one, member("a", one) as a, member("b", one) as b:
            await until(lambda: a.hosts == {"b": "b"} and b.hosts == {"a": "a"})
            a.client.set_harvest({"b": (b"seen",)})
            await until(lambda: one.registry.counts.endpoints == 1)
            a.client.remember({"old": affiliate("old")})
            assert a.hosts == {"b": "b", "old": "one"}
            a.client.set_live({"b"})
            await b.client.stop()
            await until(lambda: one.registry.counts.affiliates == 1)
            # The service has confirmed it by now, and still: we have a tunnel to it.
            await until(lambda: a.membership.next_timeout is not None)
            assert "b" in a.hosts
            a.client.set_live(frozenset())
            await until(lambda: "b" not in a.hosts)

    asyncio.run(scenario())


def test_call_that_was_never_begun_leaves_nothing_behind(recwarn: pytest.WarningsRecorder) -> None:
    async def scenario() -> None:
        one = Member("a", "127.0.0.1:1")
        one.client.start()
        await one.client.stop()

    asyncio.run(scenario())
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []


def test_stop_is_quick_when_there_is_nobody() -> None:
    async def scenario() -> None:
        async with host() as one:
            where = str(one.server.listening)
        async with member("a", where) as a:
            await until(lambda: a.told("cannot be reached"))
        assert a.membership.phase is Phase.LEFT
        assert [one for one in a.reports if isinstance(one, Publish)] == []

    asyncio.run(scenario())
