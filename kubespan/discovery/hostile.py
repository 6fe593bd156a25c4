"""Why a sealed blob is refused: one vocabulary for what arrives and for what would be sent.

The discovery server takes anything from anybody who knows the cluster's id, so every blob is
hostile until it is opened, and a member's own words are still only claims afterwards. A refusal
carries a name to count by, and nothing of what was refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TypeVar

from kubespan.model.errors import KubespanError

_From = TypeVar("_From")
_To = TypeVar("_To")


class BlobReason(Enum):
    """One reason a blob goes no further. The values are labels of counters."""

    TOO_LARGE = "too_large"  # more bytes than the service would ever keep
    TOO_SHORT = "too_short"  # fewer bytes than an empty message has when sealed
    BAD_TAG = "bad_tag"  # sealed with another secret, or damaged
    BAD_PADDING = "bad_padding"  # an endpoint that does not fill its blocks as agreed
    NOT_A_MESSAGE = "not_a_message"  # opened, and no protobuf message of its kind
    WRONG_ID = "wrong_id"  # names no node, or another one than the record it was in
    TOO_MANY = "too_many"  # a list longer than any node has a use for
    BAD_TEXT = "bad_text"  # a name that is too long, or that a terminal would obey
    BAD_ADDRESS = "bad_address"  # where no other host can be
    BAD_PREFIX = "bad_prefix"  # a network without an address, or with too many bits
    BAD_PORT = "bad_port"  # not from 1 to 65535
    BAD_KEY = "bad_key"  # not a WireGuard key in base64


class BlobRefused(KubespanError):
    """A blob is refused. Nothing changed; count `reason` and go on."""

    def __init__(self, reason: BlobReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


def sifted(
    turn: Callable[[_From], _To], entries: Sequence[_From], most: int
) -> tuple[tuple[_To, ...], tuple[BlobReason, ...]]:
    """Return what the first `most` entries turn into, each once, and why others are refused.

    One refusal stands for each entry that is refused, and one for all those beyond `most`.
    """
    turned: dict[_To, None] = {}
    refusals = []
    for entry in entries[:most]:
        try:
            turned[turn(entry)] = None
        except BlobRefused as refused:
            refusals.append(refused.reason)
    if len(entries) > most:
        refusals.append(BlobReason.TOO_MANY)
    return tuple(turned), tuple(refusals)
