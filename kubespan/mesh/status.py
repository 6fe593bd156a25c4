"""Whether a peer is up, and which of its endpoints to try next. Rules over times; no clock.

The states and what they mean are Talos's:

    endpoint changed          + 15 s                               + 275 s
          |--------------------|------------------------------------|-------------->
           up if there was a     up if there was a handshake         up if the last
           handshake since,      since, else down                    handshake is younger
           else unknown                                              than 275 s, else down

When we look, and in which order we try, is ours: an endpoint that brings no handshake is left
after 15 s instead of at the next tick of 30, one that is new is tried at once, and a peer that
leaves data unanswered is not waited for until its handshake is old. Talos adapters/kubespan.
"""

from __future__ import annotations

from dataclasses import replace

from kubespan.model.address import Endpoint
from kubespan.model.constants import (
    ENDPOINT_CONNECTION_TIMEOUT,
    PEER_DOWN_AFTER,
    STALLED_AFTER,
)
from kubespan.model.resources import KubeSpanPeerStatus, PeerReading, PeerState

LONG_AGO = float("-inf")
NEVER = float("inf")


def next_status(
    status: KubeSpanPeerStatus,
    reading: PeerReading | None,
    endpoints: tuple[Endpoint, ...],
    now: float,
    *,
    fresh: Endpoint | None = None,
) -> KubeSpanPeerStatus:
    """Return how it stands with a peer after one look.

    `reading` is None where there is no interface yet. `endpoints` in the order in which to try;
    `fresh` is one of them that was not known at the last look.
    """
    status = _observed(status, reading)
    status = replace(status, state=_state(status, now))
    if not _should_change(status, reading, now, fresh):
        return status
    chosen = fresh if fresh is not None else _next_endpoint(status, endpoints)
    if chosen is None:
        return status
    return replace(
        status,
        endpoint=chosen,
        last_used_endpoint=chosen,
        last_endpoint_change_at=now,
        state=PeerState.UNKNOWN,
    )


def endpoint_to_set(status: KubeSpanPeerStatus) -> Endpoint | None:
    """Return the endpoint that WireGuard should have; None to leave it where the peer roamed to."""
    if status.endpoint in (None, status.last_used_endpoint):
        return status.last_used_endpoint
    return None


def next_look_at(status: KubeSpanPeerStatus, reading: PeerReading | None, now: float) -> float:
    """Return when time alone may next change the status: seconds since boot, or infinity."""
    moments = []
    if not _is_fresh(status):
        moments.append(_moment(status.last_endpoint_change_at) + ENDPOINT_CONNECTION_TIMEOUT)
    if status.state is PeerState.UP:
        moments.append(_moment(status.last_handshake_at) + PEER_DOWN_AFTER)
        moments.append(_stalled_at(status, reading))
    return min((moment for moment in moments if moment > now), default=NEVER)


def _observed(status: KubeSpanPeerStatus, reading: PeerReading | None) -> KubeSpanPeerStatus:
    if reading is None:
        return status
    return replace(
        status,
        endpoint=reading.endpoint,
        last_handshake_at=reading.last_handshake_at,
        receive_bytes=reading.receive_bytes,
        transmit_bytes=reading.transmit_bytes,
    )


def _state(status: KubeSpanPeerStatus, now: float) -> PeerState:
    # Sums, as in `next_look_at`: a look at the very moment must not find it a little too early.
    changed_at = _moment(status.last_endpoint_change_at)
    if now > changed_at + PEER_DOWN_AFTER:
        is_up = now < _moment(status.last_handshake_at) + PEER_DOWN_AFTER
    else:
        is_up = _is_fresh(status)
    if is_up:
        return PeerState.UP
    if now < changed_at + ENDPOINT_CONNECTION_TIMEOUT or status.last_used_endpoint is None:
        return PeerState.UNKNOWN
    return PeerState.DOWN


def _is_fresh(status: KubeSpanPeerStatus) -> bool:
    """Whether there was a handshake after the endpoint was changed."""
    return _moment(status.last_handshake_at) > _moment(status.last_endpoint_change_at)


def _should_change(
    status: KubeSpanPeerStatus, reading: PeerReading | None, now: float, fresh: Endpoint | None
) -> bool:
    if status.state is PeerState.UP:
        # Also one that called in: what works is not given up for what was announced.
        return now >= _stalled_at(status, reading)
    if status.last_used_endpoint is None or status.state is PeerState.DOWN:
        return True
    return fresh is not None


def _stalled_at(status: KubeSpanPeerStatus, reading: PeerReading | None) -> float:
    """When data will have been unanswered for longer than WireGuard needs to find a living peer."""
    if reading is None or reading.unanswered_since is None:
        return NEVER
    return max(reading.unanswered_since, _moment(status.last_endpoint_change_at)) + STALLED_AFTER


def _next_endpoint(status: KubeSpanPeerStatus, endpoints: tuple[Endpoint, ...]) -> Endpoint | None:
    """Return the one after the last used; None where there is no other."""
    if not endpoints:
        return None
    used = status.last_used_endpoint
    if used is None or used not in endpoints:
        return endpoints[0]
    chosen = endpoints[(endpoints.index(used) + 1) % len(endpoints)]
    if chosen == used and status.endpoint == used:
        return None
    return chosen


def _moment(at: float | None) -> float:
    return LONG_AGO if at is None else at
