"""Several services at once, sealed and opened with the cluster's secret, over gRPC and TLS."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest

from kubespan.discovery.client.authorities import Authorities
from kubespan.discovery.client.client import Report
from kubespan.discovery.client.effects import Publish, SeenAt, Tell
from kubespan.discovery.client.services import Services
from kubespan.discovery.opening import seal_record
from kubespan.discovery.server import tokenbucket
from kubespan.discovery.server.certificate import CertificateFiles
from kubespan.model.address import Endpoint
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import DiscoveryService
from kubespan.model.keys import PublicKey
from kubespan.model.resources import Affiliate, KubeSpanAffiliate
from tests.discovery.authority import write_pair
from tests.discovery.host import CLUSTER, Host, host, until
from tests.peers import REPOSITORY

SECRET = ClusterSecret(bytes(range(32)))
NO_AUTHORITIES = Authorities(bundles=())
HERE = Endpoint.parse("192.0.2.1:51820")
THERE = Endpoint.parse("198.51.100.1:51820")


def affiliate(node_id: str, hostname: str = "one", *endpoints: Endpoint) -> Affiliate:
    key = PublicKey(node_id.encode().ljust(32)[:32])
    kubespan = KubeSpanAffiliate(key, None, endpoints=endpoints or (HERE,))
    return Affiliate(node_id, hostname=hostname, kubespan=kubespan)


class Member:
    """A node in the cluster, and what its services report."""

    def __init__(
        self,
        id_: str,
        services: Sequence[DiscoveryService],
        authorities: Authorities = NO_AUTHORITIES,
        secret: ClusterSecret = SECRET,
    ) -> None:
        self.id = id_
        self.reports: list[tuple[str, Report]] = []
        self.on_report: Callable[[str, Report], None] = lambda name, report: self.reports.append(
            (name, report)
        )
        self.services = Services(
            services,
            CLUSTER,
            secret,
            id_,
            self._hear,
            authorities=authorities,
            is_useful=bool,
        )

    def _hear(self, name: str, report: Report) -> None:
        self.on_report(name, report)

    @property
    def told(self) -> list[str]:
        return [report.text for _, report in self.reports if isinstance(report, Tell)]

    def sees(self, *raw_ids: str) -> bool:
        return set(self.services.raw) == set(raw_ids)


def service(name: str, where: Host | str, *, insecure: bool = True) -> DiscoveryService:
    target = where if isinstance(where, str) else str(where.server.listening)
    return DiscoveryService(name, target, insecure)


@asynccontextmanager
async def running(member: Member) -> AsyncIterator[Member]:
    member.services.start()
    try:
        yield member
    finally:
        await member.services.stop()


def test_what_is_announced_is_what_others_see() -> None:
    async def scenario() -> None:
        async with host() as one:
            at = [service("default", one)]
            async with running(Member("a", at)) as a, running(Member("b", at)) as b:
                said = affiliate("a", "host-a", HERE, THERE)
                assert a.services.announce(said) == 0
                await until(lambda: b.sees("service/default/a"))
                assert b.services.raw == {"service/default/a": said}
                assert b.services.is_heard
                # Sealed under another nonce it would differ, and everybody would have to hear it.
                assert a.services.announce(said) == 0
                a.services.announce(replace(said, hostname="renamed"))
                await until(lambda: b.services.raw["service/default/a"].hostname == "renamed")
            (record,) = one.registry.list(CLUSTER, 0.0) or (None,)
            assert record is None
            publishes = [r for _, r in b.reports if isinstance(r, Publish) and r.changes]
            assert len(publishes) == 2
            assert b.services.addresses == (a.services.addresses[0],)
            assert any(isinstance(r, SeenAt) for _, r in a.reports)

    asyncio.run(scenario())


def test_endpoint_that_cannot_be_sent_is_left_out_and_said() -> None:
    async def scenario() -> None:
        async with host() as one, running(Member("a", [service("default", one)])) as a:
            assert a.services.announce(affiliate("a", "a", HERE, replace(HERE, port=0))) == 1

    asyncio.run(scenario())


def test_services_are_heard_apart_and_told_the_same() -> None:
    async def scenario() -> None:
        async with host() as one, host() as two:
            both = [service("one", one), service("two", two)]
            async with running(Member("a", both)) as a, running(Member("b", both[1:])) as b:
                a.services.announce(affiliate("a"))
                b.services.announce(affiliate("b"))
                await until(lambda: a.sees("service/two/b") and b.sees("service/two/a"))
                # The two services are told one beside the other.
                await until(lambda: [r.id for r in one.registry.list(CLUSTER, 0.0)] == ["a"])
                a.services.set_harvest({"b": [THERE]})
                await until(lambda: two.registry.counts.endpoints == 3)
                await until(lambda: _endpoints(a, "service/two/b") == (HERE, THERE))
                a.services.set_live({"b"})
                assert len(a.services.addresses) == 1

    asyncio.run(scenario())


def _endpoints(member: Member, raw_id: str) -> tuple[Endpoint, ...]:
    kubespan = member.services.raw[raw_id].kubespan
    return () if kubespan is None else kubespan.endpoints


def test_one_service_of_two_is_enough() -> None:
    async def scenario() -> None:
        async with host() as gone:
            nowhere = service("gone", str(gone.server.listening))
        async with host() as one:
            at = [nowhere, service("one", one)]
            async with running(Member("a", at)) as a, running(Member("b", at)) as b:
                a.services.announce(affiliate("a"))
                await until(lambda: b.sees("service/one/a"))
                await until(lambda: any("gone: " in text for text in b.told))

    asyncio.run(scenario())


def test_members_of_an_earlier_run_are_there_at_once() -> None:
    async def scenario() -> None:
        async with host() as one:
            a = Member("a", [service("one", one), service("two", one)])
            a.services.remember({"b": affiliate("b"), "a": affiliate("a")})
            assert not a.services.is_heard
            assert a.sees("service/one/b", "service/two/b")

    asyncio.run(scenario())


def test_record_under_another_secret_is_refused_by_name() -> None:
    async def scenario() -> None:
        async with host() as one:
            at = [service("default", one)]
            other = ClusterSecret(bytes(32))
            async with running(Member("a", at)) as a, running(Member("b", at, secret=other)) as b:
                b.services.announce(affiliate("b"))
                await until(lambda: any("1 bad_tag" in text for text in a.told))
                assert a.sees()

    asyncio.run(scenario())


def test_tls_with_a_named_authority(tmp_path: Path) -> None:
    certificate, _ = pair = write_pair(tmp_path)

    async def scenario() -> None:
        async with host(certificate=CertificateFiles(*pair)) as one:
            at = [service("default", one, insecure=False)]
            trusting, doubting = Authorities(certificate), Authorities()
            async with (
                running(Member("a", at, trusting)) as a,
                running(Member("b", at, trusting)) as b,
                running(Member("c", at, doubting)) as c,
            ):
                a.services.announce(affiliate("a"))
                await until(lambda: b.sees("service/default/a"))
                await until(lambda: any("cannot be reached" in text for text in c.told))

    asyncio.run(scenario())


# ------------------------------------------------------------------------------------ measured


def test_change_is_seen_by_a_hundred_members(
    measured: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # They all come from one address, which the service would slow down.
    monkeypatch.setattr(tokenbucket, "CALLS_AT_ONCE", 1_000.0)

    async def scenario() -> list[float]:
        async with host(level=50) as one, AsyncExitStack() as stack:
            at = [service("default", one)]
            members = [Member(f"{number:03}", at) for number in range(100)]
            for member in members:
                await stack.enter_async_context(running(member))
                member.services.announce(affiliate(member.id))
            await until(lambda: all(len(member.services.raw) == 99 for member in members))
            return [await seen_by_all(members, f"round {round_}") for round_ in range(5)]

    delays = asyncio.run(scenario())
    measured(
        "a change seen by 99 others, one process for all and the service",
        f"median {median(delays) * 1e3:.0f} ms, worst {max(delays) * 1e3:.0f} ms",
    )


async def seen_by_all(members: Sequence[Member], text: str) -> float:
    """Return after how many seconds the last member has seen a change at the first."""
    author, *others = members
    missing = {other.id for other in others}
    done = asyncio.Event()
    raw_id = f"service/default/{author.id}"

    def hear(member: Member, report: Report) -> None:
        if isinstance(report, Publish) and member.services.raw[raw_id].hostname == text:
            missing.discard(member.id)
            if not missing:
                done.set()

    for other in others:
        other.on_report = lambda _, report, member=other: hear(member, report)  # type: ignore[misc]
    began = time.perf_counter()
    author.services.announce(affiliate(author.id, text))
    await asyncio.wait_for(done.wait(), 60.0)
    return time.perf_counter() - began


def test_killed_service_comes_back(measured: Callable[[str, str], None]) -> None:
    async def scenario() -> float:
        with socket.create_server(("127.0.0.1", 0)) as free:
            where = f"127.0.0.1:{free.getsockname()[1]}"
        members = [Member(f"{number}", [service("default", where)]) for number in range(5)]
        process = await _serve(where)
        async with AsyncExitStack() as stack:
            for member in members:
                await stack.enter_async_context(running(member))
                member.services.announce(affiliate(member.id))
            await until(lambda: all(len(member.services.raw) == 4 for member in members))
            process.kill()
            await process.wait()
            await until(lambda: not any(member.services.is_heard for member in members))
            process = await _serve(where)
            began = time.perf_counter()
            onlooker = Member("onlooker", [service("default", where)])
            await stack.enter_async_context(running(onlooker))
            await until(lambda: len(onlooker.services.raw) == 5)
            await until(lambda: all(member.services.is_heard for member in members))
            spent = time.perf_counter() - began
            assert all(len(member.services.raw) == 4 for member in members)
        process.terminate()
        await process.wait()
        return spent

    spent = asyncio.run(scenario())
    measured("until all are registered after kill -9 and a restart without state", f"{spent:.1f} s")


async def _serve(where: str) -> asyncio.subprocess.Process:
    """Start a service in a process of its own, and return when it listens."""
    command = ("-m", "kubespan.cli.main", "discovery", "serve", "--insecure", "--listen", where)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=REPOSITORY, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    assert b"listening" in await process.stderr.readline()
    return process


def test_snapshot_of_a_thousand_members(measured: Callable[[str, str], None]) -> None:
    async def scenario() -> float:
        async with host(level=50) as one:
            for number in range(1_000):
                said = affiliate(f"{number:043}", f"host-{number}", HERE, THERE)
                sealed = seal_record(SECRET.raw, said, number.to_bytes(12, "big"))
                one.registry.update(
                    CLUSTER, said.node_id, sealed.data, sealed.endpoints, 1_800.0, 0.0
                )
            member = Member("a", [service("default", one)])
            began = time.process_time()
            async with running(member):
                await until(lambda: any(isinstance(r, Publish) for _, r in member.reports))
                spent = time.process_time() - began
                assert len(member.services.raw) == 1_000
            return spent

    spent = asyncio.run(scenario())
    measured("CPU of a snapshot of 1,000, the service's share included", f"{spent * 1e3:.0f} ms")


@pytest.mark.parametrize("count", [0, 3])
def test_stop_withdraws_from_all(count: int) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            hosts = [await stack.enter_async_context(host()) for _ in range(count)]
            at = [service(f"s{number}", one) for number, one in enumerate(hosts)]
            async with running(Member("a", at)) as a:
                a.services.announce(affiliate("a"))
                await until(lambda: all(one.registry.counts.affiliates == 1 for one in hosts))
            assert [one.registry.counts.affiliates for one in hosts] == [0] * count

    asyncio.run(scenario())
