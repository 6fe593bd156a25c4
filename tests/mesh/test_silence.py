"""Silent peers: what is said of one, for every way in which it may be silent."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from kubespan.mesh.problem import Problem, ProblemCode, Severity
from kubespan.mesh.silence import is_private, peer_name, silence
from kubespan.model.resources import KubeSpanPeerSpec, KubeSpanPeerStatus, PeerState
from tests.mesh.affiliates_of import key
from tests.mesh.outcomes import spec, tried

PUBLIC, OTHER = "203.0.113.4:51820", "198.51.100.9:51999"
LAN, LAN6 = "192.168.1.2:51820", "[fd12::1]:51820"


def look(
    one: KubeSpanPeerSpec, status: KubeSpanPeerStatus, now: float = 60.0
) -> tuple[str, str, str]:
    problem = silence(one, status, now, trying_since=0.0)
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
    said = silence(spec(2), KubeSpanPeerStatus(), 60.0)
    assert said is not None
    assert (said.code, said.severity) == (ProblemCode.NO_REPLY, Severity.WARNING)
    assert said.text == "announces no endpoint, and has never called"
    said = silence(spec(2), KubeSpanPeerStatus(last_handshake_at=0.0), 300.0)
    assert isinstance(said, Problem)
    assert said.text == "announces no endpoint, and was last heard 300 s ago"


def test_it_answers_and_is_not_steered_for_long() -> None:
    """However short a time ago it shook hands anew."""
    held_back = KubeSpanPeerStatus(last_handshake_at=59.5)
    said = silence(spec(2, PUBLIC), held_back, 60.0, held_since=58.0)
    assert said is not None
    assert (said.code, said.severity, said.peer) == (
        ProblemCode.STEERING,
        Severity.WARNING,
        "peer-2",
    )
    assert said.text == "has answered; waits until packets for it are steered"


@pytest.mark.parametrize(
    ("one", "status", "trying", "held"),
    [
        (spec(2, PUBLIC), tried(PUBLIC, PeerState.UP), 0.0, None),
        (spec(2), KubeSpanPeerStatus(state=PeerState.UP), None, None),
        (spec(2), KubeSpanPeerStatus(last_handshake_at=0.0), None, 58.5),
        (spec(2, PUBLIC), KubeSpanPeerStatus(), None, None),
        (spec(2, PUBLIC), tried(PUBLIC), 46.0, None),
    ],
    ids=["up", "it called", "it called, and is not steered yet", "not tried", "tried too recently"],
)
def test_nothing_is_said_too_early(
    one: KubeSpanPeerSpec, status: KubeSpanPeerStatus, trying: float | None, held: float | None
) -> None:
    assert silence(one, status, 60.0, trying_since=trying, held_since=held) is None


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
