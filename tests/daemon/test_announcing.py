"""This host as a member: its identity, its record, and whom it remembers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from threading import Event

import pytest

from kubespan.daemon import announcing as announcings
from kubespan.daemon.announcing import Announcing, system_hostname
from kubespan.discovery.client.authorities import Authorities
from kubespan.discovery.client.services import Services
from kubespan.discovery.opening import open_record
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import DiscoveryService, KubeSpanConfig, NodeConfig
from kubespan.model.errors import ConfigError, SystemFault
from kubespan.model.host import HostAddress, Link, OperationalState
from kubespan.model.resources import Affiliate
from kubespan.state.cache import Remembered
from tests.discovery.host import Host, host, until

SECRET = ClusterSecret(bytes(range(32)))
LINK = Link(1, "eth0", True, "", bytes.fromhex("020000000001"), True, True, OperationalState.UP)


class Machine:
    """What the host is said to have."""

    def __init__(self) -> None:
        self.addresses = ["192.0.2.1"]
        self.fault: SystemFault | None = None

    def read(self) -> tuple[tuple[Link, ...], tuple[HostAddress, ...]]:
        if self.fault is not None:
            raise self.fault
        return (LINK,), tuple(HostAddress(ip_address(a), 24, 1) for a in self.addresses)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    one = Machine()
    monkeypatch.setattr(announcings, "read_links_and_addresses", one.read)
    monkeypatch.setattr(announcings, "LOOK_INTERVAL", 0.01)
    monkeypatch.setattr(announcings, "SAVE_INTERVAL", 0.01)
    monkeypatch.setattr(announcings, "SETTLE_INTERVAL", 0.01)
    return one


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    return NodeConfig(
        cluster_id="cluster",
        cluster_secret=SECRET,
        kubespan=KubeSpanConfig(enabled=True),
        hostname="here",
        state_directory=str(tmp_path / "state"),
    )


def services_of(announcing: Announcing, one: Host | None = None) -> Services:
    target = "127.0.0.1:1" if one is None else str(one.server.listening)
    at = [DiscoveryService("default", target, insecure=True)]
    authorities = Authorities(bundles=())
    return Services(
        at,
        "cluster",
        SECRET,
        announcing.node.node_id,
        lambda _name, _report: None,
        authorities=authorities,
        is_useful=bool,
    )


def announced(one: Host) -> Affiliate | None:
    """Return what an onlooker finds at the service."""
    records = one.registry.list("cluster", 0.0)
    for record in records:
        return open_record(SECRET.raw, record.id, record.data, record.endpoints).affiliate
    return None


def test_record_follows_the_host(machine: Machine, config: NodeConfig) -> None:
    told: list[str] = []

    async def scenario() -> None:
        announcing = Announcing(config, SECRET)
        async with host() as one:
            services = services_of(announcing, one)
            services.start()
            follow = asyncio.ensure_future(announcing.follow(services, told.append))
            await until(lambda: (found := announced(one)) is not None and bool(found.addresses))
            found = announced(one)
            assert found is not None
            assert found.node_id == announcing.node.node_id
            assert found.hostname == "here"
            assert found.kubespan is not None
            assert "192.0.2.1:51820" in map(str, found.kubespan.endpoints)
            machine.addresses = ["192.0.2.9"]
            await until(lambda: ip_address("192.0.2.9") in getattr(announced(one), "addresses", ()))
            machine.fault = SystemFault("read links", 5)
            await until(lambda: len(told) == 1)
            machine.fault, machine.addresses = None, ["192.0.2.7"]
            await until(lambda: ip_address("192.0.2.7") in getattr(announced(one), "addresses", ()))
            follow.cancel()
            with suppress(asyncio.CancelledError):
                await follow
            await services.stop()
            assert announced(one) is None

    asyncio.run(scenario())
    assert told == [
        "what this host is cannot be announced: read links: Input/output error",
    ]


def test_identity_outlives_the_process(machine: Machine, config: NodeConfig) -> None:
    first, second = Announcing(config, SECRET), Announcing(config, SECRET)
    assert first.node == second.node


def test_without_kubespan_there_is_no_key(machine: Machine, config: NodeConfig) -> None:
    Announcing(replace(config, kubespan=KubeSpanConfig()), SECRET)
    names = {path.name for path in Path(config.state_directory).iterdir()}
    assert names == {"node-identity.yaml"}


def test_state_that_cannot_be_used_is_an_error(machine: Machine, config: NodeConfig) -> None:
    with pytest.raises(ConfigError):
        Announcing(replace(config, state_directory="/proc/none/state"), SECRET)


def test_members_are_remembered(machine: Machine, config: NodeConfig) -> None:
    members = [Affiliate("a", hostname="a"), Affiliate("b", hostname="b")]
    told: list[str] = []

    async def scenario() -> None:
        announcing = Announcing(config, SECRET)
        services = services_of(announcing)
        announcing.recall(services, told.append)
        assert services.raw == {}
        announcing.save(members, is_heard=True)
        later = Announcing(config, SECRET)
        services = services_of(later)
        later.recall(services, told.append)
        assert set(services.raw) == {"service/default/a", "service/default/b"}
        # Nobody is heard of now: their time stays what it was, and who is new has now.
        seen_at = dict.fromkeys(("a", "b"), later._seen_at["a"] - 100)
        later._seen_at = dict(seen_at)
        later.save([*members, Affiliate("c")], is_heard=False)
        assert {id_: later._seen_at[id_] for id_ in seen_at} == seen_at
        assert later._seen_at["c"] > seen_at["a"]

    asyncio.run(scenario())
    assert told == []


def test_spoilt_cache_is_said_and_not_used(machine: Machine, config: NodeConfig) -> None:
    announcing = Announcing(config, SECRET)
    (Path(config.state_directory) / "affiliates.cache").write_bytes(b"spoilt")
    told: list[str] = []

    async def scenario() -> None:
        announcing.recall(services_of(announcing), told.append)

    asyncio.run(scenario())
    (line,) = told
    assert line.endswith("affiliates.cache: the cache of members is not a file of ours; not used")


def test_cache_is_written_now_and_then(
    machine: Machine, config: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    announcing = Announcing(config, SECRET)
    faults = [SystemFault("write", 28)]
    save: Callable[..., None] = announcing.save

    def save_later(members: object, *, is_heard: bool) -> None:
        if faults:
            raise faults.pop()
        save(members, is_heard=is_heard)

    monkeypatch.setattr(announcing, "save", save_later)

    async def scenario() -> None:
        services = services_of(announcing)
        saving = asyncio.ensure_future(
            announcing.save_now_and_then(services, lambda: [Affiliate("a")])
        )
        await until((Path(config.state_directory) / "affiliates.cache").exists)
        saving.cancel()
        with suppress(asyncio.CancelledError):
            await saving

    asyncio.run(scenario())


def test_one_cache_is_written_at_a_time(
    machine: Machine, config: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last save comes while one that was given up goes on in its thread."""
    announcing = Announcing(config, SECRET)
    is_writing, may_end = Event(), Event()
    written: list[str] = []

    def write(members: Sequence[Remembered], _nonce: bytes) -> None:
        name = members[0].affiliate.node_id
        written.append(f"{name} begins")
        if name == "early":
            is_writing.set()
            assert may_end.wait(30.0)
        written.append(f"{name} ends")

    monkeypatch.setattr(announcing._cache, "save", write)

    def save(name: str) -> None:
        announcing.save([Affiliate(name)], is_heard=True)

    with ThreadPoolExecutor(2) as executor:
        executor.submit(save, "early")
        assert is_writing.wait(30.0)
        late = executor.submit(save, "late")
        with suppress(TimeoutError):
            late.result(0.05)
        may_end.set()
        late.result(30.0)
    assert written == ["early begins", "early ends", "late begins", "late ends"]


@pytest.mark.parametrize(
    ("full", "short", "name"),
    [
        ("host.example.com", "host", "host.example.com"),
        ("localhost", "host", "host"),
        ("localhost.localdomain", "host", "host"),
    ],
)
def test_hostname_says_something(
    full: str, short: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda: full)
    monkeypatch.setattr(socket, "gethostname", lambda: short)
    assert system_hostname() == name


def test_a_clock_that_is_behind_what_it_saw_itself(machine: Machine, config: NodeConfig) -> None:
    first = Announcing(config, SECRET)
    first.save([Affiliate("b")], is_heard=True)
    again = Announcing(config, SECRET)
    again.recall(services_of(again), lambda _: None)
    at = again.seen_at("b")
    assert at is not None
    assert (again.seen_at("c"), again.clock_behind(at)) == (None, 0.0)
    assert again.clock_behind(at - 1000.0) == 940.0


@asynccontextmanager
async def saving(
    announcing: Announcing, services: Services, members: list[Affiliate]
) -> AsyncIterator[None]:
    """The cache is kept, of whoever is a member at each moment."""
    task = asyncio.ensure_future(announcing.save_now_and_then(services, lambda: [*members]))
    yield
    task.cancel()


def test_who_had_come_before_it_began_is_remembered_soon(
    machine: Machine, config: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that is killed a moment after its start knows whom it has heard of."""
    monkeypatch.setattr(announcings, "SAVE_INTERVAL", 3600.0)
    announcing = Announcing(config, SECRET)

    async def scenario() -> None:
        services = services_of(announcing)
        announcing.recall(services, lambda _: None)
        async with saving(announcing, services, [Affiliate("a")]):
            await until((Path(config.state_directory) / "affiliates.cache").exists)

    asyncio.run(scenario())


def test_a_cache_that_cannot_be_used_is_not_written_over_without_news(
    machine: Machine, config: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcings, "SAVE_INTERVAL", 3600.0)
    announcing = Announcing(config, SECRET)
    cache = Path(config.state_directory) / "affiliates.cache"
    cache.write_bytes(b"of another version")

    async def scenario() -> None:
        services, members = services_of(announcing), [Affiliate("a")]
        announcing.recall(services, lambda _: None)
        async with saving(announcing, services, members):
            await asyncio.sleep(0.1)
            assert cache.read_bytes() == b"of another version"
            members.append(Affiliate("b"))
            await until(lambda: cache.read_bytes() != b"of another version")

    asyncio.run(scenario())


def test_who_has_come_is_remembered_soon(
    machine: Machine, config: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcings, "SAVE_INTERVAL", 3600.0)
    announcing = Announcing(config, SECRET)
    written: list[list[str]] = []

    def save(members: Sequence[Affiliate], *, is_heard: bool) -> None:
        assert not is_heard
        written.append([one.node_id for one in members])

    monkeypatch.setattr(announcing, "save", save)

    async def scenario() -> None:
        members: list[Affiliate] = []
        saving = asyncio.ensure_future(
            announcing.save_now_and_then(services_of(announcing), lambda: [*members])
        )
        await asyncio.sleep(0.1)
        members += [Affiliate("a"), Affiliate("b")]
        await until(lambda: bool(written))
        await asyncio.sleep(0.1)
        saving.cancel()

    asyncio.run(scenario())
    assert written == [["a", "b"]]


def test_it_ends_though_it_is_woken_at_that_moment(
    machine: Machine, config: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcings, "LOOK_INTERVAL", 3600.0)
    announcing = Announcing(config, SECRET)

    async def scenario() -> None:
        following = asyncio.ensure_future(announcing.follow(services_of(announcing), print))
        await until(lambda: announcing.affiliate is not None)
        await asyncio.sleep(0.05)
        announcing.look_soon()
        await asyncio.sleep(0)
        following.cancel()
        done, _ = await asyncio.wait({following}, timeout=5.0)
        assert done == {following}

    asyncio.run(scenario())
