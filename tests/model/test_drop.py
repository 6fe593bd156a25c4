"""The numbers of the reasons are shared with native code."""

from __future__ import annotations

from kubespan.model.drop import DropReason

IN_ORDER = (
    "MALFORMED",
    "UNKNOWN_TYPE",
    "BAD_MAC1",
    "UNDER_LOAD",
    "RATE_LIMITED",
    "UNKNOWN_PEER",
    "LOW_ORDER_POINT",
    "BAD_AEAD",
    "OLD_TIMESTAMP",
    "HANDSHAKE_FLOOD",
    "UNEXPECTED",
    "UNKNOWN_INDEX",
    "KEY_EXPIRED",
    "BAD_TAG",
    "REPLAYED",
    "BAD_INNER",
    "WRONG_SOURCE",
    "NO_PEER",
    "NO_ENDPOINT",
    "STAGED_OVERFLOW",
    "QUEUE_FULL",
    "INTERFACE_DOWN",
    "SEND_FAILED",
    "TUN_REFUSED",
    "BAD_OUTBOUND",
    "NO_KEY",
    "ROUTING_LOOP",
)


def test_a_reason_keeps_its_number() -> None:
    """Counters are arrays without holes, and native code fills them by number."""
    numbers = {reason.name: reason.value for reason in DropReason}
    assert numbers == {name: number for number, name in enumerate(IN_ORDER)}
