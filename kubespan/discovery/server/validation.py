"""What the discovery server refuses before it looks at its state: the stock service's limits.

Lengths are bytes of UTF-8. Strings that have none (lone surrogates) are refused, because one
such id makes a whole cluster unreadable for other clients. Meant for the registry, and for calls
that never reach it. Discovery service, as observed.
"""

from __future__ import annotations

from collections.abc import Sequence

from kubespan.discovery.server.refusal import Refusal, RefusalCode
from kubespan.model.constants import (
    AFFILIATE_TTL,
    MAX_AFFILIATE_DATA_SIZE,
    MAX_AFFILIATE_ID_SIZE,
    MAX_CLUSTER_ID_SIZE,
    MAX_ENDPOINT_SIZE,
)


def check_cluster_id(cluster_id: str) -> None:
    """1 to 256 bytes. Raises Refusal."""
    _check_id("cluster id", cluster_id, MAX_CLUSTER_ID_SIZE)


def check_affiliate_id(affiliate_id: str) -> None:
    """1 to 256 bytes. Raises Refusal."""
    _check_id("affiliate id", affiliate_id, MAX_AFFILIATE_ID_SIZE)


def check_update(
    cluster_id: str, affiliate_id: str, data: bytes, endpoints: Sequence[bytes], ttl: float
) -> None:
    """Everything about an update that needs no state, in this order. Raises Refusal."""
    check_cluster_id(cluster_id)
    check_affiliate_id(affiliate_id)
    if len(data) > MAX_AFFILIATE_DATA_SIZE:
        raise _invalid(f"the affiliate data is over {MAX_AFFILIATE_DATA_SIZE} bytes")
    if any(len(endpoint) > MAX_ENDPOINT_SIZE for endpoint in endpoints):
        raise _invalid(f"an affiliate endpoint is over {MAX_ENDPOINT_SIZE} bytes")
    if not ttl <= AFFILIATE_TTL:  # so that what is no number is refused too
        raise _invalid(f"the ttl is over {AFFILIATE_TTL / 60:.0f} minutes")


def _check_id(what: str, text: str, most: int) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise _invalid(f"the {what} is not UTF-8") from None
    if size == 0:
        raise _invalid(f"the {what} is empty")
    if size > most:
        raise _invalid(f"the {what} is over {most} bytes")


def _invalid(message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID_ARGUMENT, message)
