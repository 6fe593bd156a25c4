"""Sources of answers: which are forgotten, which are kept, and which come back and go again."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from random import Random

import pytest

from kubespan.device.source import Sources
from kubespan.linux.route import Way
from kubespan.model.address import Endpoint, Source
from kubespan.model.instant import Instant
from kubespan.model.keys import PublicKey
from kubespan.wireguard.datapath import PeerSlot
from kubespan.wireguard.interface import Interface
from kubespan.wireguard.purepath import PurePath
from tests.device.hearing import eventually

pytestmark = pytest.mark.asyncio

HERE, ELSEWHERE = (Source(ip_address(f"192.0.2.{number}"), 3) for number in (1, 9))
THERE, YONDER = (Endpoint(ip_address("198.51.100.7"), port) for port in (1, 2))
NOW = Instant(1.0, 1)


@pytest.fixture
def interface() -> Interface:
    return Interface(PurePath(), Random(0).randbytes)


@pytest.fixture
def sources(interface: Interface) -> Sources:
    return Sources(interface)


def answered(interface: Interface, endpoint: Endpoint, source: Source | None) -> PeerSlot:
    """Return the slot of a new peer that is answered this way."""
    key = PublicKey(bytes([len(interface.peers)]) * 32)
    peer = interface.add_peer(key, NOW)
    assert peer is not None
    peer.slot.endpoint = endpoint
    peer.slot.source = source
    return peer.slot


async def test_ways_are_those_of_peers_with_a_source(
    interface: Interface, sources: Sources
) -> None:
    answered(interface, THERE, HERE)
    answered(interface, YONDER, None)
    assert sources.ways == {Way(THERE, HERE)}


async def test_all_are_forgotten(interface: Interface, sources: Sources) -> None:
    slots = answered(interface, THERE, HERE), answered(interface, YONDER, ELSEWHERE)
    sources.forget()
    assert [slot.source for slot in slots] == [None, None]
    assert [slot.endpoint for slot in slots] == [THERE, YONDER]


async def test_an_address_that_is_gone_answers_nobody(
    interface: Interface, sources: Sources
) -> None:
    slots = answered(interface, THERE, HERE), answered(interface, YONDER, ELSEWHERE)
    sources.forget_addresses(frozenset((HERE.address,)))
    assert [slot.source for slot in slots] == [None, ELSEWHERE]


async def test_only_the_stale_way_is_given_up(interface: Interface, sources: Sources) -> None:
    slots = [
        answered(interface, endpoint, source)
        for endpoint in (THERE, YONDER)
        for source in (HERE, ELSEWHERE)
    ]
    sources.forget_ways(frozenset((Way(THERE, HERE),)))
    assert [slot.source for slot in slots] == [None, ELSEWHERE, HERE, ELSEWHERE]
    sources.close()


async def test_a_stale_way_that_comes_back_is_given_up_again(
    interface: Interface, sources: Sources
) -> None:
    slot = answered(interface, THERE, HERE)
    sources.forget_ways(frozenset((Way(THERE, HERE),)))
    for _ in range(3):
        slot.source = HERE
        await eventually("it is given up", lambda: slot.source is None)
    slot.source = ELSEWHERE
    sources.close()
    assert slot.source == ELSEWHERE


async def test_a_stale_way_is_asked_about_though_nobody_is_answered_so(
    interface: Interface, sources: Sources
) -> None:
    answered(interface, THERE, HERE)
    stale = frozenset((Way(THERE, HERE),))
    sources.forget_ways(stale)
    assert sources.ways == stale
    sources.close()


async def test_ways_to_where_nobody_is_are_not_kept(interface: Interface, sources: Sources) -> None:
    answered(interface, THERE, HERE)
    sources.forget_ways(frozenset((Way(YONDER, HERE),)))
    assert sources.ways == {Way(THERE, HERE)}


@pytest.mark.parametrize("way_out", ["another report", "forget", "close"])
async def test_a_way_is_used_again_once_it_is_not_stale(
    interface: Interface, sources: Sources, way_out: str
) -> None:
    slot = answered(interface, THERE, HERE)
    sources.forget_ways(frozenset((Way(THERE, HERE),)))
    if way_out == "another report":
        sources.forget_ways(frozenset())
    elif way_out == "forget":
        sources.forget()
    else:
        sources.close()
    slot.source = HERE
    await asyncio.sleep(0.1)
    assert slot.source == HERE
