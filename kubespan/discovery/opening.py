"""One node's record: what the discovery server keeps, and the affiliate that is inside.

Whatever a record holds, opening it returns: what is good of it, and the names of what is not. A bad
endpoint does not hide a good one, and no record costs more than its limits allow. What opens was
sealed by some member, not surely by this one, nor lately: the server may replay what it has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kubespan.discovery.hostile import BlobReason, BlobRefused, sifted
from kubespan.discovery.message import (
    build_affiliate,
    build_endpoint,
    parse_affiliate,
    parse_endpoint,
)
from kubespan.discovery.seal import open_affiliate, open_endpoint, seal_affiliate, seal_endpoint
from kubespan.model.address import Endpoint
from kubespan.model.constants import MAX_ENDPOINTS
from kubespan.model.resources import Affiliate


@dataclass(frozen=True, slots=True)
class Opened:
    """What came of opening a record."""

    affiliate: Affiliate | None
    """Whose it is, with the endpoints that were good, in their order."""

    refusals: tuple[BlobReason, ...] = ()
    """Why the affiliate, or endpoints of it, were refused: one for each, to be counted."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What is sent of an affiliate."""

    data: bytes
    endpoints: tuple[bytes, ...]
    refusals: tuple[BlobReason, ...] = ()
    """Why endpoints were left out, one for each."""


def open_record(
    secret_key: bytes, record_id: str, data: bytes, endpoints: Sequence[bytes]
) -> Opened:
    """Return what is in a record. Never raises, whatever the record holds.

    Empty data is nobody's fault: others may tell endpoints of a node before it tells of itself.
    Endpoints of a node that is no peer are left alone. Of more than 64 the rest is refused as one.
    """
    if not data:
        return Opened(None)
    try:
        affiliate = parse_affiliate(open_affiliate(secret_key, data))
    except BlobRefused as refused:
        return Opened(None, (refused.reason,))
    if affiliate.node_id != record_id:
        return Opened(None, (BlobReason.WRONG_ID,))
    if affiliate.kubespan is None:
        return Opened(affiliate)
    good, refusals = _open_endpoints(secret_key, endpoints)
    kubespan = replace(affiliate.kubespan, endpoints=good)
    return Opened(replace(affiliate, kubespan=kubespan), refusals)


def seal_record(secret_key: bytes, affiliate: Affiliate, nonce: bytes) -> Sealed:
    """Seal an affiliate and those of its first 64 endpoints that can be sent. Raises BlobRefused.

    `nonce` is 12 bytes never used with this key. What `open_record` makes of the result is the
    same affiliate.
    """
    data = seal_affiliate(secret_key, nonce, build_affiliate(affiliate))
    endpoints = () if affiliate.kubespan is None else affiliate.kubespan.endpoints
    sealed, refusals = seal_endpoints(secret_key, endpoints)
    return Sealed(data, sealed, refusals)


def seal_endpoints(
    secret_key: bytes, endpoints: Sequence[Endpoint]
) -> tuple[tuple[bytes, ...], tuple[BlobReason, ...]]:
    """Seal those of the first 64 endpoints that can be sent, and say why others are left out."""
    return sifted(
        lambda value: seal_endpoint(secret_key, build_endpoint(value)), endpoints, MAX_ENDPOINTS
    )


def _open_endpoints(
    secret_key: bytes, blobs: Sequence[bytes]
) -> tuple[tuple[Endpoint, ...], tuple[BlobReason, ...]]:
    return sifted(
        lambda blob: parse_endpoint(open_endpoint(secret_key, blob)), blobs, MAX_ENDPOINTS
    )
