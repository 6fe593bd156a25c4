"""Shared memory: the index, publishing, and that nothing is freed while a lane may follow it."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest

from kubespan import _fastpath, fastpath
from kubespan.fastpath import UpcallKind, native
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.drop import DropReason
from kubespan.wireguard.datapath import PeerSlot


def test_the_door_says_native() -> None:
    assert fastpath.implementation() == "native"
    assert fastpath.provider() in native.PROVIDERS


def test_an_installed_index_is_taken_until_it_is_withdrawn(
    path: Any, keypair: Callable[..., Any]
) -> None:
    slot = path.create_slot()
    assert path.is_index_free(5)
    slot.install(None, keypair(5), None)
    assert not path.is_index_free(5)
    slot.install(None, None, None)
    assert path.is_index_free(5)


def test_a_full_line_of_the_index_is_not_free(path: Any, keypair: Callable[..., Any]) -> None:
    same_line = [7 + (n << 17) for n in range(9)]
    slots = [path.create_slot() for _ in range(8)]
    for slot, index in zip(slots, same_line, strict=False):
        assert path.is_index_free(index)
        slot.install(None, keypair(index), None)
    assert not path.is_index_free(same_line[8])
    slots[3].install(None, None, None)
    assert path.is_index_free(same_line[8])


def test_the_index_grows_before_it_is_full_and_loses_nobody(
    path: Any, keypair: Callable[..., Any]
) -> None:
    """Random numbers, as they are drawn, more of them than any first size holds."""
    chance = random.Random(6)
    taken = [(chance.getrandbits(32), path.create_slot()) for _ in range(3000)]
    for index, slot in taken:
        slot.install(None, keypair(index), None)
    assert not any(path.is_index_free(index) for index, _ in taken)
    for _, slot in taken[::2]:
        slot.retire()
    assert all(path.is_index_free(index) for index, _ in taken[::2])
    assert not any(path.is_index_free(index) for index, _ in taken[1::2])


def test_a_line_that_was_filled_since_somebody_asked_makes_the_index_grow(
    path: Any, keypair: Callable[..., Any]
) -> None:
    same_line = [7 + (n << 6) for n in range(9)]
    for index in same_line:
        path.create_slot().install(None, keypair(index), None)
    assert not any(path.is_index_free(index) for index in same_line)


def test_rotation_keeps_what_stays(path: Any, keypair: Callable[..., Any]) -> None:
    slot = path.create_slot()
    first, second, third = keypair(1), keypair(2), keypair(3)
    slot.install(None, first, second)
    slot.install(first, second, None)
    assert (slot.previous, slot.current, slot.next) == (first, second, None)
    slot.install(second, third, None)
    assert [path.is_index_free(n) for n in (1, 2, 3)] == [True, False, False]


def test_a_lane_in_a_batch_holds_back_what_is_withdrawn(
    path: Any, keypair: Callable[..., Any]
) -> None:
    lane = _fastpath.Lane(
        path.table, number=0, tun_fd=-1, tun_queues=(), ipv4_fd=-1, ipv6_fd=-1, sockets=(),
        stop_fd=-1, upcall_fd=-1, vnet_header=False, tcp_offload=False, udp_offload=False,
        segment=False,
    )  # fmt: skip
    slot = path.create_slot()
    slot.install(None, keypair(1), None)
    lane.pretend_batch(begin=True)
    slot.install(None, None, None)
    assert path.table.reclaim() == 1
    lane.pretend_batch(begin=False)
    assert path.table.reclaim() == 0
    lane.pretend_batch(begin=True)
    slot.retire()
    assert path.table.reclaim() == 1
    lane.leave()
    assert path.table.reclaim() == 0


def test_the_number_of_a_retired_peer_is_used_again(path: Any) -> None:
    slots = [path.create_slot() for _ in range(3)]
    numbers = [slot.number for slot in slots]
    slots[1].endpoint = Endpoint(ip_address("192.0.2.1"), 1)
    slots[1].note_sent(5.0, 100, data=True)
    slots[1].retire()
    fresh = path.create_slot()
    assert fresh.number == numbers[1]
    assert (fresh.endpoint, fresh.tx_bytes, fresh.last_sent_at) == (None, 0, 0.0)


def test_everything_goes_when_the_path_goes(keypair: Callable[..., Any]) -> None:
    for _ in range(50):
        path: Any = fastpath.create_path()
        slot: PeerSlot = path.create_slot()
        path.publish_routes([(Prefix.parse("0.0.0.0/0"), slot)])
        slot.install(None, keypair(3), None)
        slot.retire()
        del path, slot
    gc.collect()


def test_replacing_routes_replaces_all_of_them(path: Any) -> None:
    slot = path.create_slot()
    path.publish_routes([(Prefix.parse("10.0.0.0/8"), slot)])
    assert path.table.lookup(ip_address("10.1.2.3").packed) == slot.number
    path.publish_routes([])
    assert path.table.lookup(ip_address("10.1.2.3").packed) == -1


def test_many_routes(path: Any) -> None:
    slot, other = path.create_slot(), path.create_slot()
    routes = [(Prefix(4, 0x0A000000 + n, 32), slot) for n in range(130_560)]
    path.publish_routes([*routes, (Prefix.parse("10.0.0.0/7"), other)])
    for n in (0, 1, 77_777, 130_559):
        assert path.table.lookup((0x0A000000 + n).to_bytes(4, "big")) == slot.number
    assert path.table.lookup((0x0A000000 + 130_560).to_bytes(4, "big")) == other.number


def test_the_numbers_of_the_native_module_are_ours() -> None:
    reasons, upcalls = _fastpath.numbers()
    assert reasons == {name: DropReason[name].value for name in reasons}
    assert upcalls == {kind.name: kind.value for kind in UpcallKind}
    assert len(reasons) >= 14


@pytest.mark.parametrize("routes", [[(b"abc", 1, 0)], [(bytes(4), 33, 0)], [(bytes(16), 129, 0)]])
def test_a_route_that_cannot_be_is_refused(path: Any, routes: Any) -> None:
    with pytest.raises(ValueError, match="prefix"):
        path.table.publish_routes(routes)
