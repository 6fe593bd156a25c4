"""Who a node is inside the mesh: address, subnet and key together."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from kubespan.mesh.identity import kubespan_identity
from kubespan.model.address import Prefix
from kubespan.model.errors import InternalError
from kubespan.model.keys import PrivateKey

CLUSTER_ID = "8XuV9TZHW08DOk3bVxQjH9ih_TBKjnh-j44tsCLSBzo="  # of Talos's own tests
MAC = bytes.fromhex("ea711bb2ccee")


@pytest.mark.parametrize(
    ("private", "public"),
    [
        (
            "gNoasoKOJzl+/B+uXhvsBVxv81OcVLrlcmQ5jQwZO08=",
            "NzW8oeIH5rJyY5lefD9WRoHWWRr/Q6DwsDjMX+xKjT4=",
        ),
        (
            "sF45u5ePau58WeeCUY3T8D9foEKaQ8Opx4cGC8g4XE4=",
            "Oak2fBEWngBhwslBxDVgnRNHXs88OAp4kjroSX0uqUE=",
        ),
    ],
)
def test_it_is_as_talos_makes_it(private: str, public: str) -> None:
    identity = kubespan_identity(CLUSTER_ID, MAC, PrivateKey.from_base64(private))
    assert identity.subnet == Prefix.parse("fd7f:175a:b97c:5602::/64")
    assert identity.address == IPv6Address("fd7f:175a:b97c:5602:e871:1bff:feb2:ccee")
    assert identity.public_key.base64() == public


def test_an_identifier_of_another_length_is_no_mac() -> None:
    with pytest.raises(InternalError):
        kubespan_identity(CLUSTER_ID, bytes(20), PrivateKey(bytes(32)))
