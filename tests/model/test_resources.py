"""The resources: defaults that claim nothing, secrets that stay hidden, Talos's spellings."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from ipaddress import IPv6Address

import pytest

from kubespan.model.address import Prefix
from kubespan.model.errors import ConfigError
from kubespan.model.keys import PrivateKey
from kubespan.model.resources import (
    Affiliate,
    KubeSpanIdentity,
    MachineType,
    NodeIdentity,
)

# Both pairs were published by Talos.
PRIVATE = "gNoasoKOJzl+/B+uXhvsBVxv81OcVLrlcmQ5jQwZO08="
PUBLIC = "NzW8oeIH5rJyY5lefD9WRoHWWRr/Q6DwsDjMX+xKjT4="
NODE_ID = "sou7yy34ykX3n373Zw1DXKb8zD7UnyKT6HT3QDsGH6L"
MACHINE_ID = "be871ac0d0dd31fa4caca753b0f3f1b2"


def test_machine_types_travel_under_talos_names() -> None:
    assert {kind.value for kind in MachineType} == {"init", "controlplane", "worker", "unknown"}


def test_a_machine_id_follows_from_a_node_id() -> None:
    assert NodeIdentity(NODE_ID).machine_id == MACHINE_ID


def test_other_ids_have_no_machine_id() -> None:
    with pytest.raises(ConfigError, match="'-' is none of the characters"):
        _ = NodeIdentity("my-laptop").machine_id


def test_an_identity_shows_its_public_key_only() -> None:
    identity = KubeSpanIdentity(
        IPv6Address("fd00::1"), Prefix.parse("fd00::/64"), PrivateKey.from_base64(PRIVATE)
    )
    assert identity.public_key.base64() == PUBLIC
    assert PRIVATE not in repr(identity)
    assert "private_key" not in repr(identity)


def test_an_affiliate_is_no_peer_unless_it_says_so() -> None:
    affiliate = Affiliate("some-id")
    assert affiliate.kubespan is None
    assert affiliate.control_plane is None
    assert affiliate.machine_type is MachineType.UNKNOWN
    assert affiliate.addresses == ()
    with pytest.raises(FrozenInstanceError):
        affiliate.hostname = "other"  # type: ignore[misc]
