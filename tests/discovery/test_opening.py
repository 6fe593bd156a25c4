"""Records: there and back, what one bad part does to the rest, and any rubbish."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.discovery.hostile import BlobReason, BlobRefused
from kubespan.discovery.opening import Opened, open_record, seal_endpoints, seal_record
from kubespan.discovery.seal import seal_affiliate, seal_endpoint
from kubespan.model.address import Endpoint
from kubespan.model.keys import PublicKey
from kubespan.model.resources import Affiliate, KubeSpanAffiliate
from tests.discovery import strategies
from tests.vectors.reader import read

known = read("discovery")
KEY = bytes.fromhex(known["key"])
NONCE = bytes.fromhex(known["affiliate"]["nonce"])
DATA = bytes.fromhex(known["affiliate"]["sealed"])
NODE_ID = "29QQTc97U5ZyFTIX33Dp9NqtwxqQI8QI13scCLzffrZ"
BLOBS = [bytes.fromhex(endpoint["sealed"]) for endpoint in known["endpoints"]]
ENDPOINTS = tuple(Endpoint.parse(endpoint["endpoint"]) for endpoint in known["endpoints"])
PEER = KubeSpanAffiliate(PublicKey(bytes(range(32))), IPv6Address("fd00::1"))


def known_with(*endpoints: Endpoint) -> Affiliate:
    affiliate = open_record(KEY, NODE_ID, DATA, ()).affiliate
    assert affiliate is not None
    assert affiliate.kubespan is not None
    return replace(affiliate, kubespan=replace(affiliate.kubespan, endpoints=endpoints))


def host(number: int) -> Endpoint:
    return Endpoint(IPv4Address(0x0A000000 + number), 51820)


def test_known_record() -> None:
    whole = known_with(*ENDPOINTS)
    assert open_record(KEY, NODE_ID, DATA, BLOBS) == Opened(whole)
    sealed = seal_record(KEY, whole, NONCE)
    assert (sealed.data, sealed.endpoints, sealed.refusals) == (DATA, tuple(BLOBS), ())


@given(strategies.affiliates, st.lists(strategies.endpoints, max_size=4, unique=True))
def test_a_record_is_the_same_there_and_back(
    affiliate: Affiliate, endpoints: list[Endpoint]
) -> None:
    if affiliate.kubespan is not None:
        span = replace(affiliate.kubespan, endpoints=tuple(endpoints))
        affiliate = replace(affiliate, kubespan=span)
    sealed = seal_record(KEY, affiliate, NONCE)
    assert open_record(KEY, affiliate.node_id, sealed.data, sealed.endpoints) == Opened(affiliate)


def test_nothing_said_yet_is_nobody_s_fault() -> None:
    assert open_record(KEY, NODE_ID, b"", BLOBS) == Opened(None)


def test_a_record_of_another_node_is_refused() -> None:
    assert open_record(KEY, "other", DATA, BLOBS) == Opened(None, (BlobReason.WRONG_ID,))


def test_a_record_of_another_cluster_is_refused() -> None:
    assert open_record(bytes(32), NODE_ID, DATA, BLOBS) == Opened(None, (BlobReason.BAD_TAG,))


def test_a_sealed_record_may_still_be_nonsense() -> None:
    data = seal_affiliate(KEY, NONCE, b"\xff")
    assert open_record(KEY, NODE_ID, data, ()) == Opened(None, (BlobReason.NOT_A_MESSAGE,))


def test_a_node_that_is_no_peer_has_no_endpoints() -> None:
    sealed = seal_record(KEY, Affiliate("n"), NONCE)
    assert sealed.endpoints == ()
    assert open_record(KEY, "n", sealed.data, [*BLOBS, b"x"]) == Opened(Affiliate("n"))


def test_bad_endpoints_do_not_hide_good_ones() -> None:
    blobs = [b"", BLOBS[0], bytes(16), BLOBS[1], seal_endpoint(KEY, b"\xff"), bytes(33)]
    assert open_record(KEY, NODE_ID, DATA, blobs) == Opened(
        known_with(*ENDPOINTS[:2]),
        (
            BlobReason.TOO_SHORT,
            BlobReason.BAD_PADDING,
            BlobReason.NOT_A_MESSAGE,
            BlobReason.TOO_LARGE,
        ),
    )


def test_equal_endpoints_count_once_however_they_are_written() -> None:
    other_order = seal_endpoint(KEY, bytes.fromhex("10ec94030a040a000002"))
    blobs = [BLOBS[0], BLOBS[1], BLOBS[0], other_order]
    assert open_record(KEY, NODE_ID, DATA, blobs) == Opened(known_with(*ENDPOINTS[:2]))


def test_the_sixty_fifth_endpoint_is_too_many() -> None:
    hosts = [host(number) for number in range(70)]
    sealed, refusals = seal_endpoints(KEY, hosts)
    assert len(sealed) == 64
    assert refusals == (BlobReason.TOO_MANY,)
    assert seal_endpoints(KEY, hosts[:64]) == (sealed, ())
    assert open_record(KEY, NODE_ID, DATA, sealed) == Opened(known_with(*hosts[:64]))
    assert open_record(KEY, NODE_ID, DATA, [*sealed, BLOBS[4]]) == Opened(
        known_with(*hosts[:64]), (BlobReason.TOO_MANY,)
    )


def test_an_endpoint_that_cannot_be_sent_does_not_keep_its_node_silent() -> None:
    nowhere = Endpoint(IPv4Address("192.0.2.1"), 0)
    sealed = seal_record(KEY, known_with(nowhere, *ENDPOINTS), NONCE)
    assert (sealed.endpoints, sealed.refusals) == (tuple(BLOBS), (BlobReason.BAD_PORT,))


def test_an_affiliate_that_no_service_would_keep_is_not_sent() -> None:
    addresses = tuple(IPv6Address(number) for number in range(2**64, 2**64 + 200))
    with pytest.raises(BlobRefused) as caught:
        seal_record(KEY, Affiliate("n", addresses), NONCE)
    assert caught.value.reason is BlobReason.TOO_LARGE


@given(st.text(max_size=5), st.binary(max_size=60), st.lists(st.binary(max_size=40), max_size=5))
def test_rubbish_is_counted_and_nothing_worse(
    node_id: str, data: bytes, blobs: list[bytes]
) -> None:
    opened = open_record(KEY, node_id, data, blobs)
    assert opened.affiliate is None
    assert len(opened.refusals) == bool(data)


@given(strategies.node_ids, st.binary(max_size=60), st.lists(st.binary(max_size=40), max_size=5))
def test_rubbish_from_members_is_counted_and_nothing_worse(
    node_id: str, message: bytes, blobs: list[bytes]
) -> None:
    sealed = [seal_endpoint(KEY, blob[:31]) for blob in blobs]
    opened = open_record(KEY, node_id, seal_affiliate(KEY, NONCE, message), sealed)
    assert opened.affiliate is not None or len(opened.refusals) == 1
    opened = open_record(KEY, NODE_ID, DATA, [*blobs, *sealed])
    assert opened.affiliate is not None
    assert opened.affiliate.kubespan is not None
    told = len(opened.affiliate.kubespan.endpoints) + len(opened.refusals)
    assert told <= len(blobs) + len(sealed)


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_a_damaged_record_does_not_open(place: int, change: int) -> None:
    damaged = bytearray(DATA)
    damaged[place] ^= change
    assert open_record(KEY, NODE_ID, bytes(damaged), ()) == Opened(None, (BlobReason.BAD_TAG,))
