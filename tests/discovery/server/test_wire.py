"""Requests from bytes, responses to bytes."""

from __future__ import annotations

from contextlib import suppress

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from kubespan.discovery.proto.server_pb2 import (
    AffiliateUpdateRequest,
    HelloRequest,
    WatchResponse,
)
from kubespan.discovery.record import AffiliateRecord, Notification
from kubespan.discovery.server.refusal import Refusal, RefusalCode
from kubespan.discovery.server.wire import (
    LARGEST_SCANNED,
    MOST_ENDPOINTS,
    NotificationEncoder,
    Undecodable,
    endpoints_of,
    parse_request,
    seconds,
)

HELLO = HelloRequest(cluster_id="c", client_version="v1.14.0")
RECORD = AffiliateRecord("a", b"data", (b"e1", b"e2"))


def test_request_is_read() -> None:
    assert parse_request(HelloRequest, HELLO.SerializeToString()) == HELLO
    assert parse_request(HelloRequest, b"") == HelloRequest()


@pytest.mark.parametrize(
    "raw",
    [
        b"\x0a\x03ab",  # shorter than it says
        b"\x0a",
        b"\x0a\x02\xff\xfe",  # not UTF-8
        b"\x0f",  # no such wire type
        b"\x08\x05",  # a number where text should be
    ],
)
def test_request_that_cannot_be_read(raw: bytes) -> None:
    with pytest.raises(Undecodable):
        parse_request(HelloRequest, raw)


@pytest.mark.parametrize("raw", [b"\x28\x05", b"\x2a\x02\x0a\x00", b"\x1d\x00\x00\x00\x00"])
def test_wrong_type_is_found_wherever_it_is(raw: bytes) -> None:
    with pytest.raises(Undecodable):
        parse_request(AffiliateUpdateRequest, raw)


def test_unknown_field_is_ignored() -> None:
    raw = HELLO.SerializeToString() + b"\x7a\x01x"
    assert parse_request(HelloRequest, raw).cluster_id == "c"


def test_huge_request_is_not_searched_for_wrong_types() -> None:
    raw = b"\x08\x05" * (LARGEST_SCANNED // 2 + 1)
    assert parse_request(HelloRequest, raw).cluster_id == ""


@given(st.binary(max_size=200))
def test_nothing_else_is_raised(raw: bytes) -> None:
    with suppress(Undecodable):
        parse_request(AffiliateUpdateRequest, raw)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (Duration(), 0.0),
        (Duration(seconds=1800), 1800.0),
        (Duration(seconds=1, nanos=500_000_000), 1.5),
        (Duration(seconds=1, nanos=2_000_000_000), 3.0),
        (Duration(seconds=2, nanos=-500_000_000), 1.5),
        (Duration(seconds=-5), -5.0),
        (Duration(seconds=2**63 - 1, nanos=2**31 - 1), float(2**63)),
    ],
)
def test_duration_is_seconds_and_nanoseconds(duration: Duration, expected: float) -> None:
    assert seconds(duration) == expected


def test_one_nanosecond_too_many_shows() -> None:
    assert seconds(Duration(seconds=1800, nanos=1)) > 1800.0


def test_endpoints_of_a_request() -> None:
    request = AffiliateUpdateRequest(affiliate_endpoints=[b"a", b"", b"a"])
    assert endpoints_of(request) == (b"a", b"", b"a")


def test_absurdly_many_endpoints_are_not_looked_at() -> None:
    request = AffiliateUpdateRequest(affiliate_endpoints=[b""] * (MOST_ENDPOINTS + 1))
    with pytest.raises(Refusal) as caught:
        endpoints_of(request)
    assert caught.value.code is RefusalCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "notification",
    [
        Notification(()),
        Notification((RECORD,)),
        Notification((RECORD, AffiliateRecord("b", b"", ()))),
        Notification.removal("a"),
    ],
)
def test_notification_travels(notification: Notification) -> None:
    message = WatchResponse.FromString(NotificationEncoder().encode(notification))
    assert message.deleted == notification.deleted
    assert (
        tuple(AffiliateRecord(a.id, a.data, tuple(a.endpoints)) for a in message.affiliates)
        == notification.affiliates
    )


def test_change_is_made_into_bytes_once_for_all_watchers_and_then_forgotten() -> None:
    encoder = NotificationEncoder()
    change, equal = Notification((RECORD,)), Notification((RECORD,))
    first = encoder.encode(change)
    assert encoder.encode(change) is first
    assert encoder.encode(equal) is not first
    assert len(encoder) == 2
    del change
    assert len(encoder) == 1
    encoder.encode(Notification(()))
    assert len(encoder) == 1
    encoder.encode(equal)
    del equal
    assert len(encoder) == 0
