"""One cluster of both: members of the official client library and members of ours.

Each must know of each everything that it told, and what changes, and that it has left.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from kubespan.model.address import Endpoint
from tests.interop.discovery_certificate import Authority
from tests.interop.discovery_cluster import ENDPOINTS, Cluster, endpoint, node, nodes, seen
from tests.interop.discovery_go import GoPeers
from tests.interop.discovery_ours import OurMember, OurMembers, value, values, with_endpoint
from tests.interop.discovery_server import DiscoveryServer

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(900),  # the first test may have to build the program
]

THEIRS, OURS = ("their-one", "their-two"), ("our-one", "our-two")
HARVESTED = "203.0.113.7:1"
LISTENERS, OF_OURS, CHANGES = 100, 10, 10


@pytest_asyncio.fixture(loop_scope="module")
async def ours() -> AsyncIterator[OurMembers]:
    """Members of ours, who leave when the test ends."""
    async with OurMembers() as members:
        yield members


async def gather_all(cluster: Cluster, ours: OurMembers) -> tuple[OurMember, ...]:
    """Return ours once both and theirs know each other."""
    await cluster.populate(*THEIRS)
    members = [await ours.join(cluster, name) for name in OURS]
    await know_each_other(cluster, members)
    return tuple(members)


async def know_each_other(cluster: Cluster, ours: list[OurMember], since: float = 0.0) -> None:
    """Return once each knows exactly the others, theirs by what they heard since a moment."""
    everyone = (*THEIRS, *OURS)
    for name, member in zip(THEIRS, cluster.members, strict=True):
        await member.sees(nodes(other for other in everyone if other != name), since)
    for one in ours:
        await one.sees(values(*(other for other in everyone if other != one.name)))


async def test_each_knows_all_of_each(cluster: Cluster, ours: OurMembers) -> None:
    await gather_all(cluster, ours)


async def test_ours_learn_their_address(cluster: Cluster, ours: OurMembers) -> None:
    one, _ = await gather_all(cluster, ours)
    assert one.services.addresses == (IPv4Address("127.0.0.1"),)


async def test_a_change_of_theirs(cluster: Cluster, ours: OurMembers) -> None:
    one, two = await gather_all(cluster, ours)
    changed = node(THEIRS[0])
    changed.hostname = "elsewhere.example.org"
    changed.kubespan.ClearField("additional_addresses")
    await cluster.members[0].set(changed, [endpoint("203.0.113.7", 1)])
    known = with_endpoint(value(THEIRS[0]), HARVESTED)
    assert known.kubespan is not None
    kubespan = replace(known.kubespan, additional_addresses=())
    known = replace(known, hostname="elsewhere.example.org", kubespan=kubespan)
    await one.sees({**values(THEIRS[1], OURS[1]), THEIRS[0]: known})
    await two.sees({**values(THEIRS[1], OURS[0]), THEIRS[0]: known})


async def test_a_change_of_ours(cluster: Cluster, ours: OurMembers) -> None:
    one, two = await gather_all(cluster, ours)
    changed = replace(with_endpoint(value(OURS[0]), HARVESTED), hostname="elsewhere.example.org")
    one.services.announce(changed)
    message = node(OURS[0])
    message.hostname = "elsewhere.example.org"
    known = seen(message, [*ENDPOINTS, endpoint("203.0.113.7", 1)])
    await cluster.members[0].sees(nodes((THEIRS[1], OURS[1])) | known)
    await cluster.members[1].sees(nodes((THEIRS[0], OURS[1])) | known)
    await two.sees({**values(*THEIRS), OURS[0]: changed})


async def test_one_of_theirs_leaves(cluster: Cluster, ours: OurMembers) -> None:
    one, two = await gather_all(cluster, ours)
    await cluster.members[0].delete()
    await one.sees(values(THEIRS[1], OURS[1]))
    await two.sees(values(THEIRS[1], OURS[0]))
    await cluster.members[0].set(node(THEIRS[0]), ENDPOINTS)
    await know_each_other(cluster, [one, two])


async def test_one_of_ours_leaves(cluster: Cluster, ours: OurMembers) -> None:
    one, two = await gather_all(cluster, ours)
    await one.services.stop()
    await cluster.members[0].sees(nodes((THEIRS[1], OURS[1])))
    await cluster.members[1].sees(nodes((THEIRS[0], OURS[1])))
    await two.sees(values(*THEIRS))


async def test_endpoints_that_ours_found(cluster: Cluster, ours: OurMembers) -> None:
    one, two = await gather_all(cluster, ours)
    found = [Endpoint.parse(HARVESTED), Endpoint.parse("10.0.0.2:51820")]
    one.services.set_harvest({THEIRS[0]: found})
    more = [*ENDPOINTS, endpoint("203.0.113.7", 1)]
    await cluster.members[1].sees(nodes(OURS) | seen(node(THEIRS[0]), more))
    known = with_endpoint(value(THEIRS[0]), HARVESTED)
    await two.sees({**values(OURS[0], THEIRS[1]), THEIRS[0]: known})


async def test_endpoints_that_theirs_found(cluster: Cluster, ours: OurMembers) -> None:
    _, two = await gather_all(cluster, ours)
    found = {OURS[0]: [endpoint("203.0.113.7", 1), ENDPOINTS[0]]}
    await cluster.members[0].set(node(THEIRS[0]), ENDPOINTS, found)
    more = [*ENDPOINTS, endpoint("203.0.113.7", 1)]
    await cluster.members[1].sees(nodes((THEIRS[0], OURS[1])) | seen(node(OURS[0]), more))
    await two.sees({**values(*THEIRS), OURS[0]: with_endpoint(value(OURS[0]), HARVESTED)})


async def test_one_of_theirs_falls_silent(go: GoPeers, ours: OurMembers, tmp_path: Path) -> None:
    async with DiscoveryServer(tmp_path / "log", "--gc-interval", "1s") as server:
        cluster = Cluster(go, server.endpoint)
        silent, _ = await cluster.populate(*THEIRS, ttl=3.0)
        one = await ours.join(cluster, OURS[0])
        await one.sees(values(*THEIRS))
        await silent.stop()
        await one.sees(values(THEIRS[1]))


@pytest.mark.parametrize("keeps_state", [True, False], ids=["with state", "without state"])
async def test_the_server_was_killed(
    go: GoPeers, ours: OurMembers, tmp_path: Path, measured: Any, keeps_state: bool
) -> None:
    options = ("--state", str(tmp_path / "state")) if keeps_state else ()
    async with DiscoveryServer(tmp_path / "log", *options) as server:
        cluster = Cluster(go, server.endpoint)
        members = list(await gather_all(cluster, ours))
        await server.kill()
        await server.start()
        back = time.time()
        await know_each_other(cluster, members, since=back)
        measured("Go clients know ours again after kill -9", f"{time.time() - back:.2f} s")
        await cluster.members[0].set(node(THEIRS[0]), [endpoint("203.0.113.7", 1)])
        everyone = values(THEIRS[1], OURS[1])
        known = with_endpoint(value(THEIRS[0]), HARVESTED)
        await members[0].sees({**everyone, THEIRS[0]: known})
        measured("and ours hear the next change after", f"{time.time() - back:.2f} s")


async def test_over_tls(go: GoPeers, ours: OurMembers, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    async with DiscoveryServer(tmp_path / "log", *authority.options, insecure=False) as server:
        await gather_all(Cluster(go, server.endpoint, ca=str(authority.certificate)), ours)


async def test_after_a_redirect(cluster: Cluster, ours: OurMembers, tmp_path: Path) -> None:
    redirect = ("--redirect", cluster.endpoint)
    async with DiscoveryServer(tmp_path / "log", *redirect) as elsewhere:
        await cluster.populate(*THEIRS)
        sent = await ours.join(replace(cluster, endpoint=elsewhere.endpoint), OURS[0])
        await know_each_other(cluster, [sent, await ours.join(cluster, OURS[1])])


async def test_a_change_reaches_a_hundred(
    cluster: Cluster, ours: OurMembers, measured: Any
) -> None:
    names = [f"node-{n:03}" for n in range(LISTENERS)]
    mine = [await ours.join(cluster, name) for name in names[:OF_OURS]]
    theirs = names[OF_OURS:]
    await asyncio.gather(*(cluster.join(name) for name in theirs))
    for member in cluster.members:
        await member.set(node(member.affiliate), ENDPOINTS)
    await asyncio.gather(*(one.sees(values(*set(names) - {one.name})) for one in mine))
    for member in cluster.members:
        await member.sees(nodes(other for other in names if other != member.affiliate))
    waits = [await _reach_all(cluster, mine, mine[n]) for n in range(CHANGES)]
    last = sorted(max(wait) for wait in waits)
    measured(
        f"a change at one of {OF_OURS} of ours is known to {LISTENERS - OF_OURS} Go clients"
        f" and to ours, the last of them, after",
        f"{statistics.median(last) * 1e3:.0f} ms (worst of {CHANGES}: {last[-1] * 1e3:.0f} ms)",
    )


async def _reach_all(cluster: Cluster, mine: list[OurMember], teller: OurMember) -> list[float]:
    """Let one of ours change; return the seconds until each of the others knew."""
    message = node(teller.name)
    message.hostname = "changed.example.org"
    began = time.time()
    teller.services.announce(replace(value(teller.name), hostname=message.hostname))
    for member in cluster.members:
        await member.until(lambda member: member.table[teller.name].affiliate == message)
    others = [one for one in mine if one is not teller]
    for one in others:
        await one.until(lambda one: one.table[teller.name].hostname == message.hostname)
    heard = [member.table[teller.name].at for member in cluster.members]
    return [at - began for at in (*heard, *(one.changed_at[teller.name] for one in others))]
