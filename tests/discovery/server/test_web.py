"""The pages for operators, over a real connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge

from kubespan.discovery.server.listening import Listening
from kubespan.discovery.server.registry import Registry
from kubespan.discovery.server.web import Web
from kubespan.model.errors import SystemFault

ANY = Listening.parse("127.0.0.1:0", "--metrics")


@asynccontextmanager
async def pages(
    *, is_ready: bool = True, inspected: Registry | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    metrics = CollectorRegistry()
    Gauge("some_number", "A number.", registry=metrics).set(7)
    web = Web(ANY, metrics, lambda: is_ready, inspected, lambda: 0.0)
    await web.start()
    try:
        async with aiohttp.ClientSession(f"http://{web.listening}") as session:
            yield session
    finally:
        await web.stop()


async def fetched(session: aiohttp.ClientSession, path: str, **query: str) -> tuple[int, str]:
    async with session.get(path, params=query) as response:
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("accept", "kind"),
    [("", "text/plain"), ("application/openmetrics-text", "application/openmetrics-text")],
)
def test_metrics_are_told_in_the_format_that_is_asked_for(accept: str, kind: str) -> None:
    async def scenario() -> None:
        async with pages() as session, session.get("/metrics", headers={"Accept": accept}) as one:
            assert one.content_type == kind
            assert "some_number 7.0" in await one.text()

    asyncio.run(scenario())


@pytest.mark.parametrize(("is_ready", "status"), [(True, 200), (False, 503)])
def test_health(is_ready: bool, status: int) -> None:
    async def scenario() -> None:
        async with pages(is_ready=is_ready) as session:
            assert await fetched(session, "/healthz") == (200, "ok\n")
            assert (await fetched(session, "/readyz"))[0] == status

    asyncio.run(scenario())


def test_nobody_looks_into_a_cluster_unless_it_is_switched_on() -> None:
    async def scenario() -> None:
        async with pages() as session:
            assert (await fetched(session, "/inspect", clusterID="c"))[0] == 404

    asyncio.run(scenario())


def test_cluster_is_shown_to_whoever_knows_its_id() -> None:
    registry = Registry()
    registry.update("c & d", "<a>", b"\xab", (b"\xcd",), 60.0, 0.0)

    async def scenario() -> None:
        async with pages(inspected=registry) as session:
            assert "clusterID" in (await fetched(session, "/inspect"))[1]
            status, page = await fetched(session, "/inspect", clusterID="c & d")
            assert status == 200
            assert "<td>&lt;a&gt;<td>ab<td>cd</tr>" in page
            status, page = await fetched(session, "/inspect", clusterID="c" * 257)
            assert (status, "cluster id" in page) == (400, True)
            async with session.get("/inspect") as response:
                assert response.headers["Referrer-Policy"] == "no-referrer"
                assert "default-src 'none'" in response.headers["Content-Security-Policy"]

    asyncio.run(scenario())


def test_port_that_somebody_has_is_said() -> None:
    async def scenario() -> None:
        with ANY.bind() as one:
            taken = ANY.with_port(one.getsockname()[1])
            web = Web(taken, CollectorRegistry(), lambda: True, None, lambda: 0.0)
            with pytest.raises(SystemFault, match=r"--metrics .* \(another program"):
                await web.start()
            await web.stop()

    asyncio.run(scenario())
