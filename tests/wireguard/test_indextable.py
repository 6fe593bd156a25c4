"""Indices: what they name in which life, and that none is given out twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kubespan.wireguard.indextable import IndexTable
from kubespan.wireguard.keypair import PureKeypair


def keypair(local_index: int) -> PureKeypair:
    return PureKeypair(
        send_key=bytes(32),
        receive_key=bytes(32),
        local_index=local_index,
        remote_index=0,
        is_initiator=True,
        created_at=0.0,
    )


def drawing(*values: int) -> Callable[[int], bytes]:
    remaining = iter(values)
    return lambda size: next(remaining).to_bytes(size, "little")


def always_free(_: int) -> bool:
    return True


def test_an_index_names_a_handshake_then_a_keypair_then_nothing() -> None:
    table: IndexTable[str] = IndexTable()
    assert table.allocate("alice", None, drawing(7), always_free) == 7
    assert (table.handshake(7), table.keypair(7), table.peer(7)) == ("alice", None, "alice")
    session = keypair(7)
    table.promote(7, session)
    assert (table.handshake(7), table.keypair(7), table.peer(7)) == (
        *(None, ("alice", session), "alice"),
    )
    table.release(7)
    assert (table.handshake(7), table.keypair(7), table.peer(7)) == (None, None, None)


def test_an_index_in_use_is_not_given_out() -> None:
    table: IndexTable[str] = IndexTable()
    table.allocate("alice", None, drawing(1), always_free)
    table.allocate("alice", None, drawing(2), always_free)
    table.promote(2, keypair(2))
    assert table.allocate("bob", None, drawing(1, 2, 3), always_free) == 3
    assert table.peer(1) == "alice"


def test_an_index_that_the_data_path_still_knows_is_not_given_out() -> None:
    table: IndexTable[str] = IndexTable()
    assert table.allocate("alice", None, drawing(1, 2, 3), {3}.__contains__) == 3


def test_releasing_what_is_not_there_is_harmless() -> None:
    table: IndexTable[str] = IndexTable()
    table.release(1)
    assert table.peer(1) is None


def test_all_bits_of_an_index_are_random() -> None:
    table: IndexTable[str] = IndexTable()
    assert table.allocate("alice", None, lambda size: b"\xff" * size, always_free) == 2**32 - 1


@pytest.mark.parametrize(
    ("drawn", "queue", "index"),
    [
        (0xFFFFFFFF, 1, 0x1FFFFFFF),
        (0x00000005, 15, 0xF0000005),
        (0xA0000000, 0, 0x00000000),
        (0xA0000000, None, 0xA0000000),
    ],
)
def test_an_index_names_its_queue(drawn: int, queue: int | None, index: int) -> None:
    table: IndexTable[str] = IndexTable()
    assert table.allocate("alice", queue, drawing(drawn), always_free) == index


def test_an_index_of_a_queue_that_is_in_use_is_not_given_out() -> None:
    table: IndexTable[str] = IndexTable()
    table.allocate("alice", 2, drawing(1), always_free)
    assert table.allocate("alice", 2, drawing(1, 0xF0000001, 3), always_free) == 0x20000003
