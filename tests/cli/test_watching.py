"""The process behind `kubespan discovery watch`: what is shown, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from kubespan.cli.affiliate import Event
from kubespan.cli.affiliate_format import Told
from kubespan.cli.watching import Watching
from kubespan.daemon import announcing as announcings
from kubespan.daemon.announcing import Announcing
from kubespan.discovery.client.authorities import Authorities
from kubespan.discovery.opening import seal_record
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import DiscoveryService, NodeConfig
from kubespan.model.resources import Affiliate
from tests.discovery.host import CLUSTER, Host, host, until

SECRET = ClusterSecret(bytes(range(32)))


class Screen:
    """What was shown and told."""

    def __init__(self) -> None:
        self.shown: list[tuple[str | None, str, str]] = []
        self.told: list[str] = []
        self.is_broken = False

    def show(self, told: Sequence[Told]) -> None:
        if self.is_broken:
            raise BrokenPipeError
        for event, one in told:
            mark = None if event is None else event.value
            self.shown.append((mark, one.id, one.affiliate.hostname))


def watching(screen: Screen, *hosts: Host | str, announcing: Announcing | None = None) -> Watching:
    targets = [one if isinstance(one, str) else str(one.server.listening) for one in hosts]
    services = tuple(
        DiscoveryService(f"s{number}", target, insecure=True)
        for number, target in enumerate(targets)
    )
    config = NodeConfig(cluster_id=CLUSTER, cluster_secret=SECRET, services=services)
    authorities = Authorities(bundles=())
    return Watching(config, SECRET, authorities, announcing, screen.show, screen.told.append)


def register(one: Host, id_: str, hostname: str) -> None:
    sealed = seal_record(SECRET.raw, Affiliate(id_, hostname=hostname), os.urandom(12))
    one.registry.update(CLUSTER, id_, sealed.data, sealed.endpoints, 1_800.0, 0.0)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_members_are_shown_as_they_come_change_and_go() -> None:
    async def scenario() -> None:
        screen = Screen()
        async with host() as one:
            register(one, "b", "first")
            register(one, "a", "first")
            run = asyncio.ensure_future(watching(screen, one).run(None))
            await until(lambda: len(screen.shown) == 2)
            register(one, "b", "second")
            await until(lambda: len(screen.shown) == 3)
            one.registry.delete(CLUSTER, "a", 0.0)
            await until(lambda: len(screen.shown) == 4)
            interrupt()
            assert await run == 0
        assert screen.shown == [
            (Event.CREATED.value, "a", "first"),
            (Event.CREATED.value, "b", "first"),
            (Event.UPDATED.value, "b", "second"),
            (Event.DESTROYED.value, "a", "first"),
        ]
        assert any("connected to" in line for line in screen.told)

    asyncio.run(scenario())


def test_what_several_services_say_is_one_member() -> None:
    async def scenario() -> None:
        screen = Screen()
        async with host() as one, host() as two:
            register(one, "a", "same")
            register(two, "a", "same")
            register(two, "b", "other")
            assert await watching(screen, one, two).run(30.0) == 0
        assert screen.shown == [(None, "a", "same"), (None, "b", "other")]

    asyncio.run(scenario())


def test_once_is_content_with_one_service_of_two() -> None:
    async def scenario() -> None:
        screen = Screen()
        async with host() as gone:
            nowhere = str(gone.server.listening)
        async with host() as one:
            register(one, "a", "here")
            assert await watching(screen, one, nowhere).run(1.0) == 0
            assert screen.shown == [(None, "a", "here")]

    asyncio.run(scenario())


def test_once_without_any_service_times_out() -> None:
    async def scenario() -> None:
        screen = Screen()
        async with host() as gone:
            nowhere = str(gone.server.listening)
        assert await watching(screen, nowhere).run(0.3) == 5
        assert screen.shown == []
        assert screen.told[-1] == "no discovery service has answered within 0.3 s"

    asyncio.run(scenario())


def test_once_can_be_interrupted() -> None:
    async def scenario() -> None:
        async with host() as gone:
            nowhere = str(gone.server.listening)
        run = asyncio.ensure_future(watching(Screen(), nowhere).run(600.0))
        await asyncio.sleep(0.05)
        interrupt()
        assert await run == 130

    asyncio.run(scenario())


def test_reader_that_has_gone_ends_it() -> None:
    async def scenario() -> None:
        screen = Screen()
        screen.is_broken = True
        async with host() as one:
            with pytest.raises(BrokenPipeError):
                await watching(screen, one).run(None)

    asyncio.run(scenario())


def test_announcing_makes_us_a_member_until_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcings, "read_links_and_addresses", lambda: ((), ()))
    config = NodeConfig(
        cluster_id=CLUSTER, cluster_secret=SECRET, hostname="me", state_directory=str(tmp_path)
    )
    tmp_path.chmod(0o700)

    async def scenario() -> None:
        screen = Screen()
        async with host() as one:
            register(one, "a", "here")
            announcing = Announcing(config, SECRET)
            run = asyncio.ensure_future(watching(screen, one, announcing=announcing).run(None))
            await until(lambda: one.registry.counts.affiliates == 2)
            await until(lambda: screen.shown == [("created", "a", "here")])
            interrupt()
            assert await run == 0
            assert one.registry.counts.affiliates == 1
        # The next start knows its peers before any service answers.
        screen = Screen()
        where = str(one.server.listening)
        again = watching(screen, where, announcing=Announcing(config, SECRET))
        run = asyncio.ensure_future(again.run(None))
        await until(lambda: screen.shown == [("created", "a", "here")])
        interrupt()
        assert await run == 0

    asyncio.run(scenario())
