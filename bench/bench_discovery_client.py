"""What a discovery client spends on its cluster: a snapshot of 1,000 members, and one change."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

from kubespan.discovery.client.membership import Membership
from kubespan.discovery.opening import Opened, open_record, seal_record
from kubespan.discovery.proto.server_pb2 import Affiliate as Message
from kubespan.discovery.proto.server_pb2 import WatchResponse
from kubespan.discovery.record import AffiliateRecord
from kubespan.model.address import Endpoint
from kubespan.model.keys import PublicKey
from kubespan.model.resources import Affiliate, KubeSpanAffiliate

MEMBERS = 1_000
KEY = bytes(range(32))
ENDPOINTS = tuple(Endpoint.parse(f"192.0.2.{number}:51820") for number in range(1, 5))


def _affiliate(number: int) -> Affiliate:
    public_key = PublicKey(number.to_bytes(32, "big"))
    return Affiliate(
        f"{number:043}",
        addresses=tuple(endpoint.address for endpoint in ENDPOINTS),
        hostname=f"host-{number}.example.com",
        operating_system="Talos (v1.14.0)",
        kubespan=KubeSpanAffiliate(public_key, ENDPOINTS[0].address, endpoints=ENDPOINTS),
    )


def _message(affiliate: Affiliate, nonce: int) -> Message:
    sealed = seal_record(KEY, affiliate, nonce.to_bytes(12, "big"))
    return Message(id=affiliate.node_id, data=sealed.data, endpoints=sealed.endpoints)


def _open(record: AffiliateRecord) -> Opened:
    return open_record(KEY, record.id, record.data, record.endpoints)


def _hear(membership: Membership, raw: bytes) -> None:
    """What the client does with one message of a watch, from its bytes on."""
    message = WatchResponse.FromString(raw)
    records = [AffiliateRecord(a.id, a.data, tuple(a.endpoints)) for a in message.affiliates]
    membership.receive_watch(1, records, message.deleted, 1.0)


def _listening() -> Membership:
    membership = Membership("bench", "host:443", "me", _open, random.random, bool)
    membership.start()
    membership.receive_hello(1, "", b"", 0.0)
    return membership


def _snapshot() -> bytes:
    messages = [_message(_affiliate(number), number) for number in range(MEMBERS)]
    return WatchResponse(affiliates=messages).SerializeToString()


def test_snapshot(benchmark: Any) -> None:
    raw = _snapshot()

    def prepare() -> tuple[tuple[Membership, bytes], dict[str, Any]]:
        return (_listening(), raw), {}

    benchmark.pedantic(_hear, setup=prepare, rounds=20)


def test_same_snapshot_again(benchmark: Any) -> None:
    membership, raw = _listening(), _snapshot()
    _hear(membership, raw)
    benchmark(_hear, membership, raw)
    assert len(membership.members) == MEMBERS


def test_change(benchmark: Any) -> None:
    membership = _listening()
    _hear(membership, _snapshot())
    benchmark.pedantic(_hear, setup=_changes(membership), rounds=2_000)


def test_refresh_without_a_change(benchmark: Any) -> None:
    membership = _listening()
    _hear(membership, _snapshot())
    raw = WatchResponse(affiliates=[_message(_affiliate(7), 7)]).SerializeToString()
    benchmark(_hear, membership, raw)


def _changes(membership: Membership) -> Callable[[], tuple[tuple[Membership, bytes], Any]]:
    numbers = count(MEMBERS)

    def prepare() -> tuple[tuple[Membership, bytes], Any]:
        number = next(numbers)
        changed = replace(_affiliate(number % MEMBERS), hostname=f"renamed-{number}")
        message = _message(changed, number)
        return (membership, WatchResponse(affiliates=[message]).SerializeToString()), {}

    return prepare
