"""Up, down, unknown, and which endpoint next: the tables of the specification, and what is ours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kubespan.mesh.status import NEVER, endpoint_to_set, next_look_at, next_status
from kubespan.model.address import Endpoint
from kubespan.model.resources import KubeSpanPeerStatus, PeerReading, PeerState

A, B, C, D = (Endpoint.parse(f"192.0.2.{number}:51820") for number in range(1, 5))
NOW = 100_000.0
UNKNOWN, UP, DOWN = PeerState.UNKNOWN, PeerState.UP, PeerState.DOWN


def reading(
    handshake_ago: float | None,
    endpoint: Endpoint | None = A,
    *,
    unanswered_since: float | None = None,
) -> PeerReading:
    at = None if handshake_ago is None else NOW - handshake_ago
    return PeerReading(endpoint, at, 1, 2, unanswered_since)


def used(endpoint: Endpoint | None, ago: float) -> KubeSpanPeerStatus:
    return KubeSpanPeerStatus(
        "peer", endpoint, last_used_endpoint=endpoint, last_endpoint_change_at=NOW - ago
    )


@pytest.mark.parametrize(
    ("handshake_ago", "change_ago", "endpoint", "state"),
    [
        (3600, 3600, None, UNKNOWN),
        (550, 550, A, DOWN),
        (550, 7.5, A, UNKNOWN),
        (0, 7.5, A, UP),
        (0, 15.1, A, UP),
        (30, 15.1, A, DOWN),
        (137.5, 275.1, A, UP),
        (None, 7.5, A, UNKNOWN),
        (None, 15, A, DOWN),
        (275, 300, A, DOWN),
        (274.9, 300, A, UP),
        (100, 275, A, UP),
    ],
)
def test_states(
    handshake_ago: float | None, change_ago: float, endpoint: Endpoint | None, state: PeerState
) -> None:
    """With one endpoint that WireGuard shows, so that nothing can be changed."""
    endpoints = () if endpoint is None else (endpoint,)
    before = used(endpoint, change_ago)
    status = next_status(before, reading(handshake_ago, endpoint), endpoints, NOW)
    assert status.state is state
    assert (status.receive_bytes, status.transmit_bytes, status.label) == (1, 2, "peer")
    assert status.last_endpoint_change_at == before.last_endpoint_change_at


def test_a_peer_that_calls_in_is_up_without_an_endpoint_of_ours() -> None:
    for announced in ((), (A, B)):
        status = next_status(KubeSpanPeerStatus(), reading(1, D), announced, NOW)
        assert (status.state, status.endpoint, status.last_used_endpoint) == (UP, D, None)
        assert endpoint_to_set(status) is None


def test_the_first_endpoint_is_tried_at_once_even_without_an_interface() -> None:
    status = next_status(KubeSpanPeerStatus("peer"), None, (A, B), NOW)
    assert status == KubeSpanPeerStatus(
        "peer", A, last_used_endpoint=A, last_endpoint_change_at=NOW
    )
    assert endpoint_to_set(status) == A


@pytest.mark.parametrize(
    ("last_used", "endpoints", "chosen"),
    [(A, (A, B), B), (B, (A, B), A), (A, (B,), B), (A, (C, D), C), (A, (), None)],
)
def test_rotation(
    last_used: Endpoint, endpoints: tuple[Endpoint, ...], chosen: Endpoint | None
) -> None:
    status = next_status(used(last_used, 20), reading(None), endpoints, NOW)
    if chosen is None:
        assert (status.state, status.last_used_endpoint) == (DOWN, last_used)
    else:
        assert (status.state, status.last_used_endpoint) == (UNKNOWN, chosen)
        assert status.last_endpoint_change_at == NOW


def test_a_lone_endpoint_is_set_again_only_where_wireguard_has_another() -> None:
    stays = next_status(used(A, 20), reading(None, A), (A,), NOW)
    assert (stays.state, stays.last_endpoint_change_at) == (DOWN, NOW - 20)
    again = next_status(used(A, 20), reading(None, D), (A,), NOW)
    assert (again.state, again.endpoint) == (UNKNOWN, A)


def test_roaming_shows_but_is_not_overwritten() -> None:
    status = next_status(used(A, 100), reading(1, D), (A, B), NOW)
    assert (status.state, status.endpoint, status.last_used_endpoint) == (UP, D, A)
    assert endpoint_to_set(status) is None
    assert endpoint_to_set(replace(status, endpoint=None)) == A


def test_a_new_endpoint_is_tried_at_once_unless_the_peer_is_up() -> None:
    waiting = next_status(used(A, 5), reading(None), (A, B, C), NOW, fresh=C)
    assert (waiting.state, waiting.last_used_endpoint) == (UNKNOWN, C)
    down = next_status(used(A, 50), reading(None), (A, B, C), NOW, fresh=C)
    assert down.last_used_endpoint == C
    up = next_status(used(A, 50), reading(1), (A, B, C), NOW, fresh=C)
    assert (up.state, up.last_used_endpoint) == (UP, A)


def test_an_endpoint_that_may_still_answer_is_waited_for() -> None:
    status = next_status(used(A, 14.9), reading(None), (A, B), NOW)
    assert (status.state, status.last_used_endpoint) == (UNKNOWN, A)


def test_data_that_stays_unanswered_moves_on() -> None:
    patient = next_status(used(A, 100), reading(50, unanswered_since=NOW - 18.9), (A, B), NOW)
    assert (patient.state, patient.last_used_endpoint) == (UP, A)
    moved = next_status(used(A, 100), reading(50, unanswered_since=NOW - 19), (A, B), NOW)
    assert (moved.state, moved.last_used_endpoint) == (UNKNOWN, B)
    alone = next_status(used(A, 100), reading(50, unanswered_since=NOW - 19), (A,), NOW)
    assert (alone.state, alone.last_used_endpoint) == (UP, A)


@pytest.mark.parametrize(
    ("before", "seen", "at"),
    [
        (used(A, 5), reading(None), NOW + 10),
        (used(A, 20), reading(None), NEVER),
        (KubeSpanPeerStatus(), None, NEVER),
        (used(A, 100), reading(75), NOW + 200),
        (used(A, 100), None, NEVER),
        (used(A, 100), reading(75, unanswered_since=NOW - 9), NOW + 10),
        (used(A, 5), reading(1, unanswered_since=NOW - 9), NOW + 14),
    ],
)
def test_when_to_look_next(before: KubeSpanPeerStatus, seen: PeerReading | None, at: float) -> None:
    endpoints = () if before.last_used_endpoint is None else (A,)
    assert next_look_at(next_status(before, seen, endpoints, NOW), seen, NOW) == at


@pytest.mark.parametrize("handshake_at", [1000.12, 0.1 + 0.2, 7.3])
def test_a_look_at_the_very_moment_finds_what_it_was_for(handshake_at: float) -> None:
    seen = PeerReading(A, handshake_at)
    before = KubeSpanPeerStatus("peer", A, last_used_endpoint=A, last_endpoint_change_at=-1.0)
    status = next_status(before, seen, (A,), handshake_at + 1)
    moment = next_look_at(status, seen, handshake_at + 1)
    assert next_status(status, seen, (A,), moment).state is PeerState.DOWN
    tried = KubeSpanPeerStatus(
        "peer", A, last_used_endpoint=A, last_endpoint_change_at=handshake_at
    )
    moment = next_look_at(tried, PeerReading(A), handshake_at)
    assert next_status(tried, PeerReading(A), (A,), moment).state is PeerState.DOWN


def test_a_peer_that_was_up_is_looked_at_without_a_reading_too() -> None:
    status = next_status(used(A, 100), reading(75), (A,), NOW)
    assert next_look_at(status, None, NOW) == NOW + 200
