"""Limits of one call, to the byte, and the order in which they are looked at."""

from __future__ import annotations

import math

import pytest

from kubespan.discovery.server.refusal import Refusal, RefusalCode
from kubespan.discovery.server.validation import check_affiliate_id, check_cluster_id, check_update

LONGEST = "é" * 128
TTL = 1800.0


@pytest.mark.parametrize(
    ("cluster_id", "affiliate_id", "data", "endpoints", "ttl"),
    [
        ("c", "a", b"", (), 0.0),
        (LONGEST, LONGEST, bytes(2048), (bytes(32),) * 65, TTL),
        ("\0", "\0", b"\0", (b"",), -1e10),
    ],
)
def test_what_is_within(
    cluster_id: str, affiliate_id: str, data: bytes, endpoints: tuple[bytes, ...], ttl: float
) -> None:
    check_update(cluster_id, affiliate_id, data, endpoints, ttl)


BAD_TTL = math.nextafter(TTL, math.inf)


@pytest.mark.parametrize(
    ("cluster_id", "affiliate_id", "data", "endpoints", "ttl", "message"),
    [
        ("", "", bytes(2049), (bytes(33),), BAD_TTL, "the cluster id is empty"),
        (LONGEST + "x", "", bytes(2049), (bytes(33),), BAD_TTL, "the cluster id is over 256 bytes"),
        ("\ud800", "", bytes(2049), (bytes(33),), BAD_TTL, "the cluster id is not UTF-8"),
        ("c", "", bytes(2049), (bytes(33),), BAD_TTL, "the affiliate id is empty"),
        ("c", LONGEST + "x", bytes(2049), (), 0.0, "the affiliate id is over 256 bytes"),
        ("c", "a\udcff", bytes(2049), (), 0.0, "the affiliate id is not UTF-8"),
        ("c", "a", bytes(2049), (bytes(33),), BAD_TTL, "the affiliate data is over 2048 bytes"),
        ("c", "a", b"", (b"", bytes(33)), BAD_TTL, "an affiliate endpoint is over 32 bytes"),
        ("c", "a", b"", (), BAD_TTL, "the ttl is over 30 minutes"),
        ("c", "a", b"", (), math.inf, "the ttl is over 30 minutes"),
        ("c", "a", b"", (), math.nan, "the ttl is over 30 minutes"),
    ],
)
def test_what_is_refused_first(
    cluster_id: str,
    affiliate_id: str,
    data: bytes,
    endpoints: tuple[bytes, ...],
    ttl: float,
    message: str,
) -> None:
    with pytest.raises(Refusal) as refused:
        check_update(cluster_id, affiliate_id, data, endpoints, ttl)
    assert (refused.value.code, refused.value.message) == (RefusalCode.INVALID_ARGUMENT, message)


def test_ids_alone() -> None:
    check_cluster_id("x" * 256)
    check_affiliate_id("x" * 256)
    with pytest.raises(Refusal, match="the affiliate id is empty"):
        check_affiliate_id("")
