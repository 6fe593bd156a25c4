"""All sources together, over real services: who is there, how it stands, and what changes live."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from kubespan.daemon.discovering import Discovering
from kubespan.model.address import Endpoint
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import DiscoveryService, KubeSpanConfig, NodeConfig, StaticPeer
from kubespan.model.keys import PublicKey
from kubespan.model.resources import Affiliate
from tests.discovery.host import Host, host, until

SECRET = ClusterSecret(bytes(range(32)))
GATEWAY = StaticPeer("gateway", PublicKey(bytes([9]) * 32))


def service(name: str, one: Host | None = None) -> DiscoveryService:
    target = "127.0.0.1:1" if one is None else str(one.server.listening)
    return DiscoveryService(name, target, insecure=True)


def config(*services: DiscoveryService, peers: tuple[StaticPeer, ...] = ()) -> NodeConfig:
    enabled = KubeSpanConfig(enabled=True)
    return NodeConfig("cluster", SECRET, enabled, services, static_peers=peers)


class Desk:
    """One node's sources, and what was heard of them."""

    def __init__(self, node_id: str, wanted: NodeConfig) -> None:
        self.told: list[tuple[str, bool]] = []
        self.addresses = 0
        self.discovering = Discovering(
            wanted,
            SECRET,
            node_id,
            lambda: None,
            self._hear_address,
            lambda text, is_problem: self.told.append((text, is_problem)),
        )

    def _hear_address(self) -> None:
        self.addresses += 1

    @property
    def ids(self) -> list[str]:
        return [one.node_id for one in self.discovering.affiliates]


def test_static_peers_need_nobody() -> None:
    async def scenario() -> None:
        desk = Desk("a", config(peers=(GATEWAY,)))
        assert desk.ids == ["static/gateway"]
        assert (desk.discovering.facts(0.0), desk.discovering.targets) == ((), ())
        assert not desk.discovering.is_heard
        assert desk.discovering.announce(Affiliate("a")) == 0
        await desk.discovering.stop()

    asyncio.run(scenario())


def test_two_nodes_see_each_other_through_two_services() -> None:
    async def scenario() -> None:
        async with host() as one, host() as other:
            both = config(service("one", one), service("other", other))
            a, b = Desk("a", both), Desk("b", both)
            for desk, node_id in ((a, "a"), (b, "b")):
                desk.discovering.announce(Affiliate(node_id, hostname=f"host-{node_id}"))
            await until(lambda: a.ids == ["b"] and b.ids == ["a"])
            await until(lambda: all(f.is_connected for f in a.discovering.facts(1.0)))
            assert a.discovering.is_heard
            await until(lambda: [f.affiliates for f in a.discovering.facts(1.0)] == [1, 1])
            a.discovering.set_live({"b"})
            a.discovering.set_harvest({"b": (Endpoint.parse("192.0.2.1:1"),)})
            await until(lambda: b.discovering.is_heard)
            b.discovering.redial()
            assert not b.discovering.is_heard
            assert b.ids == ["a"]
            await until(lambda: b.discovering.is_heard)
            await b.discovering.stop()
            a.discovering.set_live(set())
            await until(lambda: a.ids == [])
            await a.discovering.stop()

    asyncio.run(scenario())


def test_services_come_and_go_with_the_configuration() -> None:
    async def scenario() -> None:
        async with host() as one, host() as other:
            a = Desk("a", config(service("one", one)))
            a.discovering.announce(Affiliate("a"))
            a.discovering.remember({"c": Affiliate("c")})
            await until(lambda: bool(one.registry.list("cluster", 0.0)))
            a.discovering.configure(config(service("one", one), service("other", other)))
            await until(lambda: bool(other.registry.list("cluster", 0.0)))
            a.discovering.configure(config(service("other", other), peers=(GATEWAY,)))
            await until(lambda: not one.registry.list("cluster", 0.0))
            assert a.discovering.targets == (str(other.server.listening),)
            assert "static/gateway" in a.ids
            await a.discovering.stop()
            assert not other.registry.list("cluster", 0.0)

    asyncio.run(scenario())


def test_where_a_service_sends_us_is_no_target() -> None:
    """We follow, but through the mesh as anybody: what goes past it is not for a service to say."""

    async def scenario() -> None:
        async with host() as second, host(redirect=str(second.server.listening)) as first:
            wanted = service("one", first)
            desk = Desk("a", config(wanted))
            desk.discovering.announce(Affiliate("a"))
            await until(lambda: bool(second.registry.list("cluster", 0.0)))
            await until(lambda: desk.discovering.is_heard)
            assert desk.discovering.targets == (wanted.target,)
            await desk.discovering.stop()

    asyncio.run(scenario())


def test_a_service_that_is_away_says_so_in_its_facts() -> None:
    async def scenario() -> None:
        desk = Desk("a", config(service("default")))
        desk.discovering.announce(Affiliate("a"))
        await until(lambda: any(is_problem for _, is_problem in desk.told))
        (facts,) = desk.discovering.facts(5.0)
        assert (facts.down_since, facts.updated_at, facts.is_at_limit) == (5.0, None, False)
        assert facts.failure.startswith("127.0.0.1:1 ")
        assert desk.discovering.facts(9.0)[0].down_since == 5.0
        await desk.discovering.stop()

    asyncio.run(scenario())


def test_a_further_service_learns_what_was_announced_and_who_is_remembered() -> None:
    async def scenario() -> None:
        desk = Desk("a", config())
        desk.discovering.announce(Affiliate("a"))
        desk.discovering.remember({"c": Affiliate("c")})
        assert desk.ids == []
        desk.discovering.configure(replace(config(), services=(service("default"),)))
        assert desk.ids == ["c"]
        await desk.discovering.stop()

    asyncio.run(scenario())
