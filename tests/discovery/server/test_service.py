"""A whole server in this process: it begins, does its chores, and ends in good order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
import grpc
import pytest
from grpc import StatusCode

from kubespan.discovery.method import HELLO, LIST
from kubespan.discovery.proto.server_pb2 import HelloRequest, ListRequest
from kubespan.discovery.server import service as module
from kubespan.discovery.server.listening import Listening
from kubespan.discovery.server.refusal import Refusal, RefusalCode
from kubespan.discovery.server.service import Service, Settings
from kubespan.model.errors import ConfigError, SystemFault
from tests.discovery.authority import certificate, make_key, write_pair
from tests.discovery.host import CLUSTER, PRIVATE_CHANNEL, Client, memory_log, until

PLAIN = Settings(Listening.parse("127.0.0.1:0", "--listen"))
WEB = Listening.parse("127.0.0.1:0", "--metrics")


@asynccontextmanager
async def running(
    settings: Settings = PLAIN, lines: list[dict[str, Any]] | None = None
) -> AsyncIterator[Service]:
    service = Service(settings, memory_log([] if lines is None else lines, 20))
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


@asynccontextmanager
async def client(service: Service, chain: bytes = b"") -> AsyncIterator[Client]:
    assert service.server is not None
    target = str(service.server.listening)
    channel = (
        grpc.aio.secure_channel(
            target, grpc.ssl_channel_credentials(chain), options=PRIVATE_CHANNEL
        )
        if chain
        else grpc.aio.insecure_channel(target, options=PRIVATE_CHANNEL)
    )
    async with channel:
        yield Client(channel)


async def names(one: Client) -> set[str]:
    response = await one.call(LIST, ListRequest(cluster_id=CLUSTER))
    return {affiliate.id for affiliate in response.affiliates}


def events(lines: list[dict[str, Any]]) -> list[str]:
    return [line["event"] for line in lines]


def test_server_serves_and_says_where() -> None:
    lines: list[dict[str, Any]] = []

    async def scenario() -> None:
        async with running(replace(PLAIN, metrics=WEB, is_inspectable=True), lines) as service:
            assert service.web is not None
            async with client(service) as one, aiohttp.ClientSession() as session:
                await one.update("a")
                root = f"http://{service.web.listening}"
                async with session.get(f"{root}/metrics") as response:
                    assert "discovery_state_affiliates 1.0" in await response.text()
                async with session.get(f"{root}/readyz") as response:
                    assert response.status == 200
                async with session.get(f"{root}/inspect?clusterID={CLUSTER}") as response:
                    assert "1 affiliates" in await response.text()
        (line,) = lines
        assert (line["event"], line["state"], line["tls"]) == ("listening", "memory", False)
        assert not line["address"].endswith(":0")
        assert not line["metrics"].endswith(":0")

    asyncio.run(scenario())


def test_redirect_is_for_everybody() -> None:
    async def scenario() -> None:
        async with (
            running(replace(PLAIN, redirect="other:443")) as service,
            client(service) as one,
        ):
            response = await one.call(HELLO, HelloRequest(cluster_id=CLUSTER))
            assert response.redirect.endpoint == "other:443"

    asyncio.run(scenario())


def test_state_goes_on_after_a_restart(tmp_path: Path) -> None:
    settings = replace(PLAIN, state=tmp_path / "state")
    lines: list[dict[str, Any]] = []

    async def scenario() -> None:
        async with running(settings) as service, client(service) as one:
            await one.update("a", b"data", [b"e"])
            await one.update("b")
        async with running(settings, lines) as service, client(service) as one:
            assert await names(one) == {"a", "b"}

    asyncio.run(scenario())
    assert events(lines) == ["the state was restored", "listening"]
    assert lines[0]["affiliates"] == 2


def test_state_that_cannot_be_used_is_said_and_set_aside(tmp_path: Path) -> None:
    (tmp_path / "discovery.sqlite3").write_bytes(b"not a database" * 100)
    lines: list[dict[str, Any]] = []

    async def scenario() -> None:
        async with running(replace(PLAIN, state=tmp_path), lines) as service:
            assert service.registry.counts.affiliates == 0

    asyncio.run(scenario())
    assert lines[0]["level"] == "error"
    assert Path(lines[0]["now"]).read_bytes().startswith(b"not a database")


def test_two_servers_do_not_share_a_state(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(replace(PLAIN, state=tmp_path)):
            with pytest.raises(ConfigError, match="in use by another server"):
                async with running(replace(PLAIN, state=tmp_path)):
                    pass

    asyncio.run(scenario())


@pytest.mark.parametrize("which", ["listen", "metrics"])
def test_failed_start_leaves_nothing_behind(tmp_path: Path, which: str) -> None:
    with WEB.bind() as taken:
        bad = WEB.with_port(taken.getsockname()[1])
        settings = replace(PLAIN, state=tmp_path, metrics=WEB)
        unlucky = replace(
            settings,
            listening=bad if which == "listen" else settings.listening,
            metrics=bad if which == "metrics" else settings.metrics,
        )

        async def scenario() -> None:
            with pytest.raises(SystemFault, match="another program"):
                await Service(unlucky, memory_log([], 20)).start()
            async with running(settings):
                pass

        asyncio.run(scenario())


def test_bad_certificate_is_found_before_anything_is_touched(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    settings = replace(PLAIN, certificate=(missing, missing), state=tmp_path / "state")

    async def scenario() -> None:
        with pytest.raises(ConfigError, match="--tls-cert"):
            await Service(settings, memory_log([], 20)).start()

    asyncio.run(scenario())
    assert list(tmp_path.iterdir()) == []


def test_expired_records_are_collected_and_watchers_hear_of_each() -> None:
    many = 3 * module.EXPIRED_AT_ONCE

    async def scenario() -> None:
        async with running() as service, client(service) as one:
            watch = one.watch()
            await watch.next()
            past = module.now() - 10.0
            for number in range(many):
                service.registry.update(CLUSTER, str(number), b"x", (), 5.0, past)
                await watch.next()
            await service.collect()
            gone = [await watch.next() for _ in range(many)]
            assert all(message.deleted for message in gone)
            assert service.registry.counts.affiliates == 0
            assert service.tally.collected_affiliates == many
            assert service.tally.collections == 1
            watch.leave()
            await until(lambda: service.registry.counts.subscriptions == 0)
            await service.collect()
            assert service.tally.collected_clusters == 1

    asyncio.run(scenario())


def test_chores_are_done_again_and_again_whatever_happens() -> None:
    lines: list[dict[str, Any]] = []
    failures = iter([Refusal(RefusalCode.UNAVAILABLE, "the disk is gone"), ZeroDivisionError()])

    async def collect(service: Service) -> None:
        service.tally.collections += 1
        for failure in failures:
            raise failure

    async def scenario() -> None:
        with (
            mock.patch.object(Service, "collect", collect),
            mock.patch.object(module, "DISCARD_INTERVAL", 0.01),
            mock.patch.object(module, "LOOK_INTERVAL", 0.01),
        ):
            async with running(replace(PLAIN, gc_interval=0.01), lines) as service:
                await until(lambda: service.tally.collections > 3)

    asyncio.run(scenario())
    assert events(lines) == [
        "listening",
        "the state cannot be kept",
        "a bug of ours; it will be tried again",
    ]


def test_certificate_is_looked_at_again_and_again(tmp_path: Path) -> None:
    paths = write_pair(tmp_path)
    lines: list[dict[str, Any]] = []

    async def scenario() -> None:
        with mock.patch.object(module, "LOOK_INTERVAL", 0.01):
            async with running(replace(PLAIN, certificate=paths), lines) as service:
                async with client(service, paths[0].read_bytes()) as one:
                    await one.update("a")
                paths[0].write_bytes(certificate(make_key()))
                await until(lambda: "the new certificate is not used" in events(lines))
                write_pair(tmp_path)
                await until(lambda: "the certificate was replaced" in events(lines))
                async with client(service, paths[0].read_bytes()) as one:
                    assert await names(one) == {"a"}

    asyncio.run(scenario())
    assert events(lines).count("the new certificate is not used") == 1


def test_full_buckets_are_forgotten() -> None:
    async def scenario() -> None:
        with mock.patch.object(module, "DISCARD_INTERVAL", 0.01):
            async with running() as service, client(service) as one:
                await one.update("a")
                assert len(service.buckets) == 1
                await until(lambda: len(service.buckets) == 0)

    asyncio.run(scenario())


def test_stop_ends_every_stream_well_and_may_be_repeated() -> None:
    async def scenario() -> None:
        async with running() as service, client(service) as one:
            watches = [one.watch() for _ in range(10)]
            for watch in watches:
                await watch.next()
            began = time.monotonic()
            await service.stop()
            assert time.monotonic() - began < module.GRACE
            for watch in watches:
                assert await watch.rest() == []
                assert await watch.code() is StatusCode.OK
            assert not service.is_ready
            await service.stop()

    asyncio.run(scenario())
