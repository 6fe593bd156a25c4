"""What a membership asks for, and the words it shares with whoever carries it out.

A *channel* is one connection attempt, by its number: what belongs to an earlier one than the
present is too late and means nothing. Every call ends in exactly one answer or one failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from kubespan.discovery.record import AffiliateRecord
from kubespan.model.address import IPAddress
from kubespan.model.resources import Affiliate


class Call(Enum):
    """The five calls of the protocol."""

    HELLO = "Hello"
    WATCH = "Watch"
    UPDATE = "AffiliateUpdate"
    DELETE = "AffiliateDelete"
    LIST = "List"


CALL_TIMEOUTS: Final[Mapping[Call, float | None]] = MappingProxyType(
    {
        Call.HELLO: 10.0,
        Call.WATCH: None,
        Call.UPDATE: 30.0,
        Call.DELETE: 5.0,
        Call.LIST: 30.0,
    }
)
"""After how many seconds a call has failed. Hello and AffiliateUpdate: official client."""


class FailureReason(Enum):
    """Why a call failed, as far as it matters what to do about it."""

    UNREACHABLE = "cannot be reached"
    TIMED_OUT = "does not answer"
    EXHAUSTED = "says that a limit is reached"
    REFUSED = "refuses"
    ENDED = "ended the conversation"


class Failure(NamedTuple):
    """How a call failed."""

    reason: FailureReason
    text: str = ""
    """What the other side said about it, already fit to be shown."""

    def __str__(self) -> str:
        return f"{self.reason.value} ({self.text})" if self.text else self.reason.value


class Change(NamedTuple):
    """One member is as told here, or is no member any more."""

    id: str
    affiliate: Affiliate | None


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a channel; nothing is said on it yet."""

    channel: int
    target: str
    """`host:port`."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close a channel and forget its calls."""

    channel: int


@dataclass(frozen=True, slots=True)
class SayHello:
    """Call Hello."""

    channel: int


@dataclass(frozen=True, slots=True)
class OpenWatch:
    """Call Watch, and hand on each message until its end."""

    channel: int


@dataclass(frozen=True, slots=True)
class SendUpdate:
    """Call AffiliateUpdate; a record without data leaves the data at the service alone."""

    channel: int
    record: AffiliateRecord


@dataclass(frozen=True, slots=True)
class SendDelete:
    """Call AffiliateDelete for our own record."""

    channel: int


@dataclass(frozen=True, slots=True)
class AskList:
    """Call List."""

    channel: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Who the members are has changed, or has just been heard in whole."""

    changes: tuple[Change, ...]
    is_whole: bool = False
    """Whether the service has just told all that it knows."""


@dataclass(frozen=True, slots=True)
class SeenAt:
    """The service sees us at this address, one that others may be able to use."""

    address: IPAddress


@dataclass(frozen=True, slots=True)
class Tell:
    """Let the operator know; already limited in rate."""

    text: str
    is_problem: bool


@dataclass(frozen=True, slots=True)
class Left:
    """All is done that leaving needed; nothing comes after this."""


Effect: TypeAlias = (
    Connect
    | Disconnect
    | SayHello
    | OpenWatch
    | SendUpdate
    | SendDelete
    | AskList
    | Publish
    | SeenAt
    | Tell
    | Left
)
