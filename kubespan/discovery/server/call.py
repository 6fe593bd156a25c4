"""One call on the discovery server while it lasts, and what may be said of it afterwards.

What a caller sent is hostile and may be secret: a log gets it short, escaped, and the cluster's id
not at all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final, TypeAlias, cast

import grpc
from google.protobuf.message import Message
from grpc import StatusCode

from kubespan.discovery.method import Method
from kubespan.discovery.server.caller import address_text
from kubespan.discovery.server.tally import CallTally

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"

LONGEST_LOGGED: Final = 64
"""Characters of what a caller sent that a log line may hold."""

CODE_NAMES: Final = {
    code: {"OK": "OK", "CANCELLED": "Canceled"}.get(
        code.name, "".join(word.title() for word in code.name.split("_"))
    )
    for code in StatusCode
}
"""Status codes as the metrics of gRPC servers spell them."""


@dataclass(slots=True)
class Call:
    """Who makes it, and what it is about as far as that is known."""

    method: Method
    tally: CallTally
    context: Context = field(repr=False)
    address: bytes
    started_at: float
    cluster_id: str = ""
    affiliate_id: str = ""
    client_version: str = ""

    @property
    def patience(self) -> float | None:
        """Seconds until the caller's deadline, None if it waits forever."""
        return cast("float | None", self.context.time_remaining())

    def describe(self, request: Message) -> None:
        """Take over from the request what a log line says of it."""
        self.cluster_id = getattr(request, "cluster_id", "")
        self.affiliate_id = getattr(request, "affiliate_id", "")
        self.client_version = getattr(request, "client_version", "")

    def facts(self) -> dict[str, str]:
        """Return what a log line says of it; nothing that is empty."""
        facts = {
            "method": self.method.name,
            "peer": address_text(self.address),
            "cluster": cluster_label(self.cluster_id),
            "affiliate": printable(self.affiliate_id),
            "client": printable(self.client_version),
        }
        return {name: value for name, value in facts.items() if value}


def cluster_label(cluster_id: str) -> str:
    """Return what stands for a cluster in the log: whoever knows its id can read its members."""
    return hashlib.sha256(cluster_id.encode()).hexdigest()[:12] if cluster_id else ""


def printable(text: str) -> str:
    """Return what somebody sent as harmless characters, and not many of them."""
    return text[:LONGEST_LOGGED].encode("unicode_escape").decode("ascii")
