"""Sealing: an affiliate, an endpoint, and what a whole cluster's snapshot costs to open.

The snapshot is the largest that matters: 1,000 members with four endpoints each.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from kubespan.discovery.message import build_affiliate, build_endpoint
from kubespan.discovery.opening import Sealed, open_record, seal_record
from kubespan.discovery.seal import open_affiliate, open_endpoint, seal_affiliate, seal_endpoint
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.keys import PublicKey
from kubespan.model.resources import Affiliate, KubeSpanAffiliate, MachineType

KEY: Final = bytes(range(32))
NONCE: Final = bytes(12)
MEMBERS: Final = 1000


def member(number: int) -> Affiliate:
    """Make an affiliate as a Talos worker describes itself, with two endpoints of each family."""
    address, public = IPv4Address(0x0A000000 + number), IPv4Address(0xCB007100 + number % 256)
    outer = IPv6Address((0x20010DB8 << 96) + number)
    inner = IPv6Address((0xFD7F175AB97C5602 << 64) + number)
    places = (address, public, outer, IPv6Address(int(outer) + 2**64))
    return Affiliate(
        node_id=f"{number:043}",
        addresses=(address, outer),
        hostname=f"worker-{number}.example.org",
        nodename=f"worker-{number}",
        operating_system="Talos (v1.14.0)",
        machine_type=MachineType.WORKER,
        kubespan=KubeSpanAffiliate(
            public_key=PublicKey(number.to_bytes(32, "big")),
            address=inner,
            additional_addresses=(Prefix(4, 0x0AF40000 + (number << 8), 24),),
            endpoints=tuple(Endpoint(place, 51820) for place in places),
        ),
    )


ONE: Final = build_affiliate(member(1))
ONE_SEALED: Final = seal_affiliate(KEY, NONCE, ONE)
PLACE: Final = build_endpoint(Endpoint(IPv4Address("203.0.113.1"), 51820))
PLACE_SEALED: Final = seal_endpoint(KEY, PLACE)


def test_seal_affiliate(benchmark: Any) -> None:
    benchmark(seal_affiliate, KEY, NONCE, ONE)


def test_open_affiliate(benchmark: Any) -> None:
    assert benchmark(open_affiliate, KEY, ONE_SEALED) == ONE


def test_seal_endpoint(benchmark: Any) -> None:
    benchmark(seal_endpoint, KEY, PLACE)


def test_open_endpoint(benchmark: Any) -> None:
    assert benchmark(open_endpoint, KEY, PLACE_SEALED) == PLACE


def test_seal_record(benchmark: Any) -> None:
    benchmark(seal_record, KEY, member(1), NONCE)


def test_open_snapshot(benchmark: Any) -> None:
    members = [member(number) for number in range(MEMBERS)]
    records = [(one.node_id, seal_record(KEY, one, NONCE)) for one in members]
    assert benchmark(open_all, records) == members


def open_all(records: list[tuple[str, Sealed]]) -> list[Affiliate | None]:
    return [open_record(KEY, id_, one.data, one.endpoints).affiliate for id_, one in records]
