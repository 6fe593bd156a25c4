"""What travels, on the server's side: requests from bytes, responses to bytes.

Everything that comes in is hostile. A request that cannot be read raises Undecodable and nothing
else; how big a readable one may be is bounded before anyone looks through it. Discovery service, as
observed: a field of the wrong type cannot be read, an unknown one is ignored.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from kubespan.discovery.proto.server_pb2 import Affiliate, AffiliateUpdateRequest, WatchResponse
from kubespan.discovery.record import AffiliateRecord, Notification
from kubespan.discovery.server.refusal import Refusal, RefusalCode
from kubespan.model.errors import KubespanError

MOST_ENDPOINTS: Final = 4096
"""Endpoints in one request, repeated ones too. A record holds 64; 4 MiB could name 2 million."""

LARGEST_SCANNED: Final = 65_536
"""Bytes of a request up to which wrong types are looked for: nothing bigger can be valid anyway."""

NANOSECONDS: Final = 10**9

_Request = TypeVar("_Request", bound=Message)


class Undecodable(KubespanError):
    """A request is not one of its kind."""


def parse_request(kind: type[_Request], raw: bytes) -> _Request:
    """Return the request in these bytes. Raises Undecodable."""
    try:
        request = kind.FromString(raw)
    except DecodeError:
        raise Undecodable(f"the request is no {kind.DESCRIPTOR.name}") from None
    if len(raw) <= LARGEST_SCANNED and _has_wrong_type(request):
        raise Undecodable(f"a field of the {kind.DESCRIPTOR.name} is of the wrong type")
    return request


def endpoints_of(request: AffiliateUpdateRequest) -> tuple[bytes, ...]:
    """Return the endpoints that a request names. Raises Refusal if they are absurdly many."""
    if len(request.affiliate_endpoints) > MOST_ENDPOINTS:
        raise Refusal(
            RefusalCode.RESOURCE_EXHAUSTED, f"there are over {MOST_ENDPOINTS} endpoints in one call"
        )
    return tuple(request.affiliate_endpoints)


def seconds(duration: Duration) -> float:
    """Return a duration in seconds; nanoseconds out of their range just count."""
    return duration.seconds + duration.nanos / NANOSECONDS


def affiliate_messages(records: Iterable[AffiliateRecord]) -> list[Affiliate]:
    """Return records as they travel."""
    return [Affiliate(id=one.id, data=one.data, endpoints=one.endpoints) for one in records]


class NotificationEncoder:
    """Turns notifications into bytes; a change only once, however many watch."""

    def __init__(self) -> None:
        self._changes: dict[int, tuple[weakref.ref[Notification], bytes]] = {}

    def __len__(self) -> int:
        return len(self._changes)

    def encode(self, notification: Notification) -> bytes:
        """Return a WatchResponse."""
        if len(notification.affiliates) != 1:
            # A snapshot: for one watcher, and large.
            return _watch_response(notification)
        key = id(notification)
        known = self._changes.get(key)
        if known is None:
            # Forgotten before anything else can have the same identity.
            ref = weakref.ref(notification, lambda _: self._changes.pop(key, None))
            known = self._changes[key] = (ref, _watch_response(notification))
        return known[1]


def _watch_response(notification: Notification) -> bytes:
    affiliates = affiliate_messages(notification.affiliates)
    return WatchResponse(affiliates=affiliates, deleted=notification.deleted).SerializeToString()


def _has_wrong_type(message: Message) -> bool:
    """Whether a field that we know came as something else: the library takes it for unknown."""
    known = message.DESCRIPTOR.fields_by_number
    unknown: Iterable[Any] = UnknownFieldSet(message)  # type: ignore[assignment]  # it iterates
    if any(field.field_number in known for field in unknown):
        return True
    return any(
        _has_wrong_type(value)
        for field, value in message.ListFields()
        if field.message_type is not None
    )
