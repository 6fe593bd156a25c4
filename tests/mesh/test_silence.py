"""Silent peers: what is said of one, for every way in which it may be silent."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from kubespan.mesh.problem import Problem, ProblemCode, Severity
from kubespan.mesh.silence import answers, is_private, peer_name, silence
from kubespan.model.resources import KubeSpanPeerSpec, KubeSpanPeerStatus, PeerState
from tests.mesh.affiliates_of import key
from tests.mesh.outcomes import spec, tried

PUBLIC, OTHER = "203.0.113.4:51820", "198.51.100.9:51999"
LAN, LAN6 = "192.168.1.2:51820", "[fd12::1]:51820"


def look(
    one: KubeSpanPeerSpec, status: KubeSpanPeerStatus, now: float = 60.0
) -> tuple[str, str, str]:
    problem = silence(one, status, 0.0, now)
    assert problem is not None
    assert problem.peer == one.label
    return problem.code.value, problem.text, problem.next


@pytest.mark.parametrize(
    ("endpoints", "text", "advice"),
    [
        ((PUBLIC,), f"no answer from its only endpoint, {PUBLIC}", "open UDP 51820 there"),
        ((PUBLIC, OTHER), "no answer from 2 endpoints", "open UDP 51820, 51999 there"),
        (
            tuple(f"203.0.113.4:{port}" for port in range(1, 65)),
            "no answer from 64 endpoints",
            "open UDP 1, 2, 3 and others there",
        ),
        (
            (PUBLIC, LAN, LAN6),
            "no answer from 3 endpoints; 2 are private addresses",
            "open UDP 51820 there",
        ),
        (
            (PUBLIC, LAN),
            "no answer from 2 endpoints; 1 is a private address",
            "open UDP 51820 there",
        ),
        ((LAN, LAN6), "no answer from 2 endpoints; all are private addresses", "unless both"),
        (
            (LAN,),
            f"no answer from its only endpoint, {LAN}; it is a private address",
            "unless both are in one network",
        ),
    ],
)
def test_nobody_answers(endpoints: tuple[str, ...], text: str, advice: str) -> None:
    code, said, following = look(spec(2, *endpoints), tried(endpoints[0], PeerState.DOWN))
    assert (code, said) == ("KS-NOREPLY", text)
    assert following.startswith(advice)


def test_when_it_was_last_heard() -> None:
    status = tried(PUBLIC, last_handshake_at=10.0, receive_bytes=92)
    assert look(spec(2, PUBLIC), status)[1].endswith("; was last heard 50 s ago")


def test_nothing_could_be_sent() -> None:
    code, text, advice = look(spec(2, PUBLIC, OTHER), tried(PUBLIC, transmit_bytes=0))
    assert (code, text) == ("KS-NOREPLY", "nothing could be sent to 2 endpoints")
    assert advice == "look for a route: ip route get 203.0.113.4"


def test_what_is_announced_no_more_was_still_tried() -> None:
    assert look(spec(2), tried(PUBLIC))[1] == f"no answer from its only endpoint, {PUBLIC}"


def test_only_half_of_it_is_heard() -> None:
    code, text, advice = look(spec(2, PUBLIC), tried(PUBLIC, receive_bytes=148))
    assert code == "KS-PSK"
    assert "one side alone cannot tell" in text
    assert "cluster.secret" in advice


def test_nothing_to_try() -> None:
    said = silence(spec(2), KubeSpanPeerStatus(), None, 60.0)
    assert said is not None
    assert (said.code, said.severity) == (ProblemCode.NO_REPLY, Severity.WARNING)
    assert said.text == "announces no endpoint, and has never called"
    said = silence(spec(2), KubeSpanPeerStatus(last_handshake_at=0.0), None, 300.0)
    assert isinstance(said, Problem)
    assert said.text == "announces no endpoint, and was last heard 300 s ago"


def test_it_answers_and_is_not_steered_for_long() -> None:
    held_back = KubeSpanPeerStatus(last_handshake_at=58.0)
    said = silence(spec(2, PUBLIC), held_back, None, 60.0)
    assert said is not None
    assert (said.code, said.severity, said.peer) == (
        ProblemCode.STEERING,
        Severity.WARNING,
        "peer-2",
    )
    assert said.text == "has answered; waits until packets for it are steered"


@pytest.mark.parametrize(
    ("state", "at", "since", "expected"),
    [
        (PeerState.UP, None, None, True),
        (PeerState.UNKNOWN, 10.0, None, True),
        (PeerState.DOWN, 10.0, None, True),
        (PeerState.DOWN, 10.0, 20.0, False),
        (PeerState.DOWN, -275.0, None, False),
        (PeerState.UNKNOWN, None, None, False),
    ],
)
def test_who_answers(
    state: PeerState, at: float | None, since: float | None, expected: bool
) -> None:
    status = KubeSpanPeerStatus(state=state, last_handshake_at=at)
    assert answers(status, since, 60.0) is expected


@pytest.mark.parametrize(
    ("one", "status", "since", "now"),
    [
        (spec(2, PUBLIC), tried(PUBLIC, PeerState.UP), 0.0, 60.0),
        (spec(2), KubeSpanPeerStatus(state=PeerState.UP), None, 60.0),
        (spec(2), KubeSpanPeerStatus(last_handshake_at=59.0), None, 60.0),
        (spec(2, PUBLIC), KubeSpanPeerStatus(), None, 60.0),
        (spec(2, PUBLIC), tried(PUBLIC), 46.0, 60.0),
    ],
    ids=["up", "it called", "it called, and is not steered yet", "not tried", "tried too recently"],
)
def test_nothing_is_said_too_early(
    one: KubeSpanPeerSpec, status: KubeSpanPeerStatus, since: float | None, now: float
) -> None:
    assert silence(one, status, since, now) is None


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.1", True),
        ("172.31.255.255", True),
        ("172.32.0.0", False),
        ("100.64.0.1", True),
        ("169.254.1.1", True),
        ("192.0.2.1", False),
        ("fd00::1", True),
        ("fe80::1", True),
        ("2001:db8::1", False),
    ],
)
def test_private_addresses(address: str, expected: bool) -> None:
    assert is_private(ip_address(address)) is expected


def test_a_peer_without_a_label_is_called_by_its_key() -> None:
    assert peer_name(spec(2, label="")) == key(2).base64()
