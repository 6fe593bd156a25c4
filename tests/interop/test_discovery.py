"""The official discovery client at our server: a cluster of its members notices nothing unusual.

The members are `github.com/siderolabs/discovery-client` as Talos runs it; the server is ours, in a
process of its own. Each waits for what it wants to see, however long that takes.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from kubespan.discovery.proto import client_pb2
from tests.interop.discovery_certificate import Authority
from tests.interop.discovery_cluster import (
    ENDPOINTS,
    Cluster,
    endpoint,
    next_source,
    node,
    nodes,
    seen,
)
from tests.interop.discovery_go import GoPeers, Place
from tests.interop.discovery_server import DiscoveryServer

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(900),  # the first test may have to build the program
]

NAMES = ("one", "two", "three")
HARVESTED = endpoint("203.0.113.7", 1)


# ------------------------------------------------------------------------------- who is there


async def test_every_member_sees_all_of_the_others(cluster: Cluster) -> None:
    await cluster.populate(*NAMES)


async def test_a_change_is_seen(cluster: Cluster) -> None:
    one, two, _ = await cluster.populate(*NAMES)
    changed = node("one")
    changed.hostname = "elsewhere.example.org"
    changed.kubespan.additional_addresses.pop()
    await one.set(changed, [HARVESTED])
    await two.sees(seen(changed, [*ENDPOINTS, HARVESTED]) | nodes(["three"]))


async def test_who_leaves_is_gone(cluster: Cluster) -> None:
    one, two, three = await cluster.populate(*NAMES)
    await one.delete()
    await two.sees(nodes(["three"]))
    await three.sees(nodes(["two"]))
    assert set(one.table) == {"two", "three"}


async def test_who_comes_back_is_there_again(cluster: Cluster) -> None:
    one, two, _ = await cluster.populate(*NAMES)
    await one.delete()
    await two.sees(nodes(["three"]))
    await one.set(node("one"))
    await two.sees(seen(node("one")) | nodes(["three"]))


async def test_harvested_endpoints_reach_everyone(cluster: Cluster) -> None:
    _, two, three = await cluster.populate(*NAMES)
    await two.set(node("two"), ENDPOINTS, {"one": [HARVESTED, ENDPOINTS[0]]})
    await three.until(lambda three: three.table["one"].endpoints == (*ENDPOINTS, HARVESTED))
    await two.until(lambda two: two.table["one"].endpoints == (*ENDPOINTS, HARVESTED))
    assert three.table["one"].affiliate == node("one")


async def test_endpoints_alone_are_nobody_yet(cluster: Cluster) -> None:
    _, two, three = await cluster.populate(*NAMES)
    before = three.notified
    await two.set(node("two"), ENDPOINTS, {"four": [HARVESTED]})
    await three.until(lambda three: three.notified >= before + 2)
    assert set(three.table) == {"one", "two"}
    four = await cluster.join("four")
    await four.set(node("four"), ENDPOINTS)
    await three.sees(nodes(("one", "two")) | seen(node("four"), [HARVESTED, *ENDPOINTS]))


async def test_clusters_do_not_see_each_other(cluster: Cluster, server: DiscoveryServer) -> None:
    await cluster.populate(*NAMES)
    await Cluster(cluster.go, server.endpoint).populate("four", "five")
    assert all(set(member.table) < set(NAMES) for member in cluster.members)


async def test_members_learn_their_address(cluster: Cluster) -> None:
    one = await cluster.join("one", place=Place(cluster.endpoint, "127.5.6.7"))
    assert one.public_ip == bytes((127, 5, 6, 7))


async def test_who_has_another_secret_is_not_understood(cluster: Cluster) -> None:
    one, *_ = await cluster.populate(*NAMES)
    stranger = Cluster(cluster.go, cluster.endpoint, id=cluster.id)
    four = await stranger.join("four")
    await four.set(node("four"))
    await one.until(lambda one: any("decryption failure" in line for line in one.logs))
    assert set(one.table) == {"two", "three"}


# ------------------------------------------------------------------------------ what has an end


async def test_who_falls_silent_expires(go: GoPeers, tmp_path: Path) -> None:
    async with DiscoveryServer(tmp_path / "log", "--gc-interval", "1s") as server:
        one, two, three = await Cluster(go, server.endpoint).populate(*NAMES, ttl=3.0)
        await one.stop()
        await two.sees(nodes(["three"]))
        await three.sees(nodes(["two"]))
        assert not two.gone_at.keys() & {"three"}
        assert not three.gone_at.keys() & {"two"}


async def test_an_expired_endpoint_takes_nobody_with_it(go: GoPeers, tmp_path: Path) -> None:
    async with DiscoveryServer(tmp_path / "log", "--gc-interval", "1s") as server:
        cluster = Cluster(go, server.endpoint)
        _, two = await cluster.populate("one", "two")
        three = await cluster.join("three", ttl=3.0)
        await three.set(node("three"), (), {"one": [HARVESTED]})
        await two.sees(seen(node("one"), [*ENDPOINTS, HARVESTED]) | seen(node("three")))
        await three.stop()
        await two.sees(nodes(["one"]))
        assert set(two.gone_at) == {"three"}


# -------------------------------------------------------------- a server that comes and goes


@pytest.mark.parametrize("keeps_state", [True, False], ids=["with state", "without state"])
async def test_all_are_back_after_the_server_was_killed(
    go: GoPeers, tmp_path: Path, measured: Any, keeps_state: bool
) -> None:
    options = ("--state", str(tmp_path / "state")) if keeps_state else ()
    async with DiscoveryServer(tmp_path / "log", *options) as server:
        cluster = Cluster(go, server.endpoint)
        await cluster.populate(*NAMES)
        await server.kill()
        await server.start()
        back = time.time()
        await cluster.know_each_other(*NAMES, since=back)
        await cluster.know_each_other(*NAMES, since=back)
        measured("Go clients know everyone again after kill -9", f"{time.time() - back:.2f} s")
        late = await cluster.join("late")
        await late.sees(nodes(NAMES))


async def test_what_was_acknowledged_survives_a_kill(go: GoPeers, tmp_path: Path) -> None:
    async with DiscoveryServer(tmp_path / "log", "--state", str(tmp_path / "state")) as server:
        cluster = Cluster(go, server.endpoint)
        await cluster.populate(*NAMES)
        for member in cluster.members:
            await member.stop()
        await server.kill()
        await server.start()
        late = await cluster.join("late")
        await late.sees(nodes(NAMES))


async def test_a_clean_stop_ends_watches_and_members_come_back(go: GoPeers, tmp_path: Path) -> None:
    async with DiscoveryServer(tmp_path / "log") as server:
        cluster = Cluster(go, server.endpoint)
        await cluster.populate(*NAMES)
        name, first = await go.watch(cluster.place(), cluster.id)
        assert len(first.reply.affiliates) == 3
        assert await server.stop() == 0
        assert (await go.drain(name)).code is grpc.StatusCode.OK
        await server.start()
        await cluster.know_each_other(*NAMES, since=time.time())


async def test_a_redirect_is_followed(cluster: Cluster, tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with DiscoveryServer(log, "--redirect", cluster.endpoint) as elsewhere:
        one = await cluster.join("one", place=elsewhere.place(next_source()))
        two = await cluster.join("two")
        await one.set(node("one"))
        await two.set(node("two"))
        await two.sees(seen(node("one")))
        await one.sees(seen(node("two")))


# --------------------------------------------------------------------------------------- TLS


async def test_members_speak_tls(go: GoPeers, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "first")
    async with DiscoveryServer(tmp_path / "log", *authority.options, insecure=False) as server:
        await Cluster(go, server.endpoint, ca=str(authority.certificate)).populate(*NAMES)
        stranger = Authority(tmp_path / "second")
        answer = await go.call(
            Place(server.endpoint, ca=str(stranger.certificate)),
            "Hello",
            {"cluster_id": "any"},
            timeout=5.0,
        )
        assert answer.code is grpc.StatusCode.UNAVAILABLE


async def test_a_renewed_certificate_is_taken_up(go: GoPeers, tmp_path: Path) -> None:
    authority, renewed = Authority(tmp_path / "first"), Authority(tmp_path / "second")
    async with DiscoveryServer(tmp_path / "log", *authority.options, insecure=False) as server:
        cluster = Cluster(go, server.endpoint, ca=str(authority.certificate))
        await cluster.populate(*NAMES)
        renewed.replace(authority)
        later = Cluster(go, server.endpoint, ca=str(renewed.certificate), id=cluster.id)
        four = await later.join("four")
        assert set(four.table) <= set(NAMES)
        assert all(member.logs == [] for member in cluster.members)


# --------------------------------------------------------------------------------- keepalives


async def test_pings_are_answered_however_many(go: GoPeers, server: DiscoveryServer) -> None:
    assert await go.pings(server.place(next_source()), 40, 0.02) == (40, "")


@pytest.mark.slow
async def test_the_clients_own_pings_are_welcome(cluster: Cluster) -> None:
    one, *_ = await cluster.populate(*NAMES, ttl=60.0)  # which means a ping every 10 s
    before = time.time()
    await one.until(lambda one: any(seen.at > before + 45.0 for seen in one.table.values()))
    assert all(member.logs == [] for member in cluster.members)


# ------------------------------------------------------------------------------------ by itself


async def test_a_node_without_anything_is_a_node(cluster: Cluster) -> None:
    one, two = await cluster.join("one"), await cluster.join("two")
    await one.set(client_pb2.Affiliate(node_id="one"))
    await two.sees(seen(client_pb2.Affiliate(node_id="one")))
