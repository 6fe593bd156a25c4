"""All statuses together: what is remembered of a peer from look to look."""

from __future__ import annotations

from kubespan.mesh.status import NEVER
from kubespan.mesh.statuses import Statuses, trial_order
from kubespan.model.address import Endpoint
from kubespan.model.keys import PublicKey
from kubespan.model.resources import (
    KubeSpanPeerSpec,
    KubeSpanPeerStatus,
    PeerReading,
    PeerState,
)
from tests.mesh.affiliates_of import key

A, B, C = (Endpoint.parse(f"192.0.2.{number}:51820") for number in (1, 2, 3))


def spec(*endpoints: Endpoint, number: int = 2) -> KubeSpanPeerSpec:
    return KubeSpanPeerSpec(key(number), None, (), endpoints, f"peer-{number}")


def silence(endpoint: Endpoint) -> dict[PublicKey, PeerReading]:
    return {key(2): PeerReading(endpoint)}


def one(statuses: Statuses) -> KubeSpanPeerStatus:
    (status,) = statuses.by_key().values()
    return status


def test_peers_come_and_go() -> None:
    statuses = Statuses()
    statuses.look([spec(A), spec(B, number=3)], None, 0.0)
    assert {status.label for status in statuses.by_key().values()} == {"peer-2", "peer-3"}
    statuses.look([spec(A)], None, 1.0)
    assert list(statuses.by_key()) == [key(2)]
    statuses.look([], None, 2.0)
    assert (statuses.by_key(), statuses.next_look_at()) == ({}, NEVER)


def test_a_silent_endpoint_is_left_as_soon_as_its_time_is_over() -> None:
    statuses = Statuses()
    statuses.look([spec(A, B)], None, 0.0)
    statuses.look([spec(A, B)], silence(A), 0.1)
    assert statuses.next_look_at() == 15.0
    statuses.look([spec(A, B)], silence(A), 14.9)
    assert one(statuses).last_used_endpoint == A
    statuses.look([spec(A, B)], silence(A), 15.0)
    assert (one(statuses).last_used_endpoint, statuses.next_look_at()) == (B, 30.0)


def test_nothing_is_looked_at_again_before_there_is_a_reason_to() -> None:
    statuses = Statuses()
    statuses.look([spec(A, B)], silence(A), 0.0)
    before = one(statuses)
    statuses.look([spec(A, B)], silence(A), 1.0)
    assert one(statuses) is before


def test_an_endpoint_that_appears_is_tried_at_once() -> None:
    statuses = Statuses()
    statuses.look([spec(A)], silence(A), 0.0)
    statuses.look([spec(A, B)], silence(A), 2.0)
    assert one(statuses).last_used_endpoint == B
    statuses.look([spec(B)], silence(B), 3.0)
    assert one(statuses).last_endpoint_change_at == 2.0


def test_what_answered_before_is_tried_first() -> None:
    statuses = Statuses()
    peer = spec(A, B, C)
    statuses.look([peer], {key(2): PeerReading(C, 1.0)}, 2.0)
    assert one(statuses).state is PeerState.UP
    assert statuses.next_look_at() == 276.0
    statuses.look([peer], silence(C), 400.0)
    assert one(statuses).last_used_endpoint == C
    assert trial_order((A, B, C), (C, B)) == (C, B, A)
    assert trial_order((A, B), (C,)) == (A, B)


def test_since_when_a_peer_is_being_tried() -> None:
    statuses = Statuses()
    statuses.look([spec(A, B), spec(number=3)], None, 1.0)
    assert statuses.trying_since() == {key(2): 1.0}
    statuses.look([spec(A, B)], silence(A), 16.0)
    assert (one(statuses).last_used_endpoint, statuses.trying_since()) == (B, {key(2): 1.0})
    statuses.look([spec(A, B)], {key(2): PeerReading(B, 17.0)}, 17.0)
    assert statuses.trying_since() == {}
    statuses.look([spec(A, B)], {key(2): PeerReading(B, 17.0)}, 300.0)
    assert statuses.trying_since() == {key(2): 300.0}
