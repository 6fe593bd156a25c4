"""Indices: what they name in which life, and that none is given out twice."""

from __future__ import annotations

from collections.abc import Callable

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
    assert table.allocate("alice", drawing(7), always_free) == 7
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
    table.allocate("alice", drawing(1), always_free)
    table.allocate("alice", drawing(2), always_free)
    table.promote(2, keypair(2))
    assert table.allocate("bob", drawing(1, 2, 3), always_free) == 3
    assert table.peer(1) == "alice"


def test_an_index_that_the_data_path_still_knows_is_not_given_out() -> None:
    table: IndexTable[str] = IndexTable()
    assert table.allocate("alice", drawing(1, 2, 3), {3}.__contains__) == 3


def test_releasing_what_is_not_there_is_harmless() -> None:
    table: IndexTable[str] = IndexTable()
    table.release(1)
    assert table.peer(1) is None


def test_all_bits_of_an_index_are_random() -> None:
    table: IndexTable[str] = IndexTable()
    assert table.allocate("alice", lambda size: b"\xff" * size, always_free) == 2**32 - 1
