"""What it means that packets were dropped, for people: by the reason's name, with what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MEANINGS: Final[Mapping[str, str]] = {
    "malformed": "not WireGuard: something else sends to our UDP port",
    "unknown_type": "not WireGuard: something else sends to our UDP port",
    "bad_mac1": "meant for another key than ours: a stranger, or a peer that knows our old one",
    "under_load": "handshakes in a flood, answered with a cookie: nothing to do",
    "rate_limited": "too many handshakes from one address: nothing to do",
    "unknown_peer": "a key that no peer has: look for it in kubespan get affiliates",
    "low_order_point": "a key that anybody could know: an attack, or a broken peer",
    "bad_aead": "handshakes that do not open: compare the cluster's secret at both ends",
    "old_timestamp": "handshakes older than the last: repeated on the way, or a clock went back",
    "handshake_flood": "a peer begins anew too often: nothing to do",
    "unexpected": "handshake messages that nobody waits for: late, or sent twice",
    "unknown_index": "of sessions that are gone: usual after a restart",
    "key_expired": "of sessions that are too old: usual after silence",
    "bad_tag": "do not open: damaged or forged on the way",
    "replayed": "came twice, or far too late: the network repeats or reorders",
    "bad_inner": "no IP packet inside: look at the peer",
    "wrong_source": "from an address that is not the peer's, or not let in yet: see kubespan get"
    " kubespanpeerspecs",
    "no_peer": "for an address that no peer has, or not let in yet, or multicast: see kubespan get"
    " kubespanpeerspecs",
    "no_endpoint": "for peers whose place is not known: see kubespan get affiliates",
    "staged_overflow": "waited for peers that do not answer: see their state above",
    "queue_full": "more than could be looked at: usual in a flood",
    "interface_down": "while the interface was down: ip link set kubespan up",
    "send_failed": "the system would not send: see ip route get, and the firewall here",
    "tun_refused": "the system would not take them: try KUBESPAN_OFFLOAD=0",
    "bad_outbound": "no IP packet, from a program here",
    "no_key": "before there was a private key",
    "routing_loop": "our own messages, routed into the mesh: ip route get of the endpoint says how",
}


def drops(counters: Mapping[str, int | str]) -> list[tuple[int, str]]:
    """Return how many packets were dropped, and the reason's name; the most frequent first."""
    counted = {
        name.removeprefix("drop_"): int(number)
        for name, number in counters.items()
        if name.startswith("drop_") and number
    }
    return sorted(((number, name) for name, number in counted.items()), key=_by_number)


def _by_number(drop: tuple[int, str]) -> tuple[int, str]:
    number, name = drop
    return -number, name
