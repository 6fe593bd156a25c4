"""The five calls of the discovery service: where each is found, and what it says.

Client and server share this table instead of generated service code, which refuses to run with a
gRPC older than the one it was generated for. Source: `proto/server.proto`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from kubespan.discovery.proto.server_pb2 import (
    AffiliateDeleteRequest,
    AffiliateDeleteResponse,
    AffiliateUpdateRequest,
    AffiliateUpdateResponse,
    HelloRequest,
    HelloResponse,
    ListRequest,
    ListResponse,
    WatchRequest,
    WatchResponse,
)

SERVICE: Final = "sidero.discovery.server.Cluster"


@dataclass(frozen=True, slots=True)
class Method:
    """One call."""

    name: str
    request: type[Message]
    response: type[Message]
    is_stream: bool = False
    """Whether one request is answered by any number of responses."""

    @property
    def path(self) -> str:
        """What the call is on the wire."""
        return f"/{SERVICE}/{self.name}"


HELLO: Final = Method("Hello", HelloRequest, HelloResponse)
AFFILIATE_UPDATE: Final = Method("AffiliateUpdate", AffiliateUpdateRequest, AffiliateUpdateResponse)
AFFILIATE_DELETE: Final = Method("AffiliateDelete", AffiliateDeleteRequest, AffiliateDeleteResponse)
LIST: Final = Method("List", ListRequest, ListResponse)
WATCH: Final = Method("Watch", WatchRequest, WatchResponse, is_stream=True)

METHODS: Final = (HELLO, AFFILIATE_UPDATE, AFFILIATE_DELETE, LIST, WATCH)
