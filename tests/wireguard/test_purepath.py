"""The pure data path: what it makes, and that it holds nothing back."""

from __future__ import annotations

from kubespan.model.address import Prefix
from kubespan.model.constants import DEFAULT_MTU
from kubespan.wireguard.purepath import PurePath
from tests.wireguard.twins import ONE_KEY, OTHER_KEY


def test_keypairs_carry_what_they_were_made_of() -> None:
    made = PurePath().create_keypair(
        send_key=ONE_KEY,
        receive_key=OTHER_KEY,
        local_index=1,
        remote_index=2,
        is_initiator=True,
        created_at=3.0,
    )
    assert (made.local_index, made.remote_index, made.is_initiator) == (1, 2, True)
    assert (made.created_at, made.send_counter) == (3.0, 0)


def test_slots_are_new_each_time() -> None:
    path = PurePath()
    assert path.create_slot() is not path.create_slot()


def test_every_index_is_free_and_routes_are_nobodys_business() -> None:
    path = PurePath()
    path.publish_routes([(Prefix.parse("10.0.0.0/8"), path.create_slot())])
    path.publish_gate(None)
    assert path.is_index_free(0)
    assert path.mtu == DEFAULT_MTU
