"""Why a peer that is not up may be silent, from what was sent to it and what came back."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Final

from kubespan.mesh.problem import Problem, ProblemCode, Severity, listed
from kubespan.model.address import Endpoint, IPAddress
from kubespan.model.constants import ENDPOINT_CONNECTION_TIMEOUT
from kubespan.model.resources import KubeSpanPeerSpec, KubeSpanPeerStatus, PeerState

PRIVATE: Final = tuple(
    map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
)
"""Networks that mean something else elsewhere. RFC 1918, RFC 6598."""

PRIVATE_IPV6: Final = IPv6Network("fc00::/7")
"""RFC 4193."""

STEERING_PATIENCE: Final = 2.0
"""Seconds within which packets for a peer that has answered are steered, as a rule."""


def silence(
    spec: KubeSpanPeerSpec,
    status: KubeSpanPeerStatus,
    now: float,
    *,
    trying_since: float | None = None,
    held_since: float | None = None,
) -> Problem | None:
    """Return what seems to be wrong with a peer, None if nothing does, or it is too early to say.

    `trying_since` is when it was first written to since it last answered, None if it was not;
    `held_since` is since when it answers and waits to be steered, None if it does not.
    """
    if status.state is PeerState.UP:
        return None
    if held_since is not None:
        return _held_back(peer_name(spec), held_since, now)
    if trying_since is None:
        return None if spec.endpoints else _unreachable(peer_name(spec), status, now)
    if now - trying_since < ENDPOINT_CONNECTION_TIMEOUT:
        return None
    if status.last_handshake_at is None and status.receive_bytes:
        return _half_heard(peer_name(spec))
    return _no_reply(spec, status, now)


def peer_name(spec: KubeSpanPeerSpec) -> str:
    """Return what to call a peer: its label, or its key where it has none."""
    return spec.label or spec.public_key.base64()


def is_private(address: IPAddress) -> bool:
    """Whether an address means something only in the network it is in."""
    if address.is_link_local:
        return True
    if isinstance(address, IPv4Address):
        return any(address in network for network in PRIVATE)
    return address in PRIVATE_IPV6


def _held_back(name: str, held_since: float, now: float) -> Problem | None:
    if now - held_since < STEERING_PATIENCE:
        return None
    return Problem(
        ProblemCode.STEERING,
        Severity.WARNING,
        name,
        "has answered; waits until packets for it are steered",
        "see why steering takes so long (time nft list tables), or whether the peer claims other"
        " addresses again and again (kubespan get kubespanpeerspecs -w)",
    )


def _unreachable(name: str, status: KubeSpanPeerStatus, now: float) -> Problem:
    return Problem(
        ProblemCode.NO_REPLY,
        Severity.WARNING,
        name,
        f"announces no endpoint, and {_last_heard(status, now)}",
        "it is up as soon as it calls; to call it, let it announce an address"
        " (extraAnnouncedEndpoints there), or turn harvestExtraEndpoints on where it is up",
    )


def _half_heard(name: str) -> Problem:
    return Problem(
        ProblemCode.PSK,
        Severity.ERROR,
        name,
        "its handshakes arrive, but none is completed: our answers do not reach it, or it has"
        " another cluster secret; one side alone cannot tell which",
        "compare `cluster.secret` on both hosts, then let UDP through in both directions",
    )


def _no_reply(spec: KubeSpanPeerSpec, status: KubeSpanPeerStatus, now: float) -> Problem:
    tried = spec.endpoints or tuple(filter(None, (status.last_used_endpoint,)))
    if not status.transmit_bytes:
        text = f"nothing could be sent to {_counted(tried)}"
        advice = f"look for a route: ip route get {tried[0].address}"
    else:
        text = f"no answer from {_counted(tried)}{_private_part(tried)}"
        advice = _advice(tried)
    if status.last_handshake_at is not None:
        text += f"; {_last_heard(status, now)}"
    return Problem(ProblemCode.NO_REPLY, Severity.ERROR, peer_name(spec), text, advice)


def _counted(tried: tuple[Endpoint, ...]) -> str:
    return f"its only endpoint, {tried[0]}" if len(tried) == 1 else f"{len(tried)} endpoints"


def _private_part(tried: tuple[Endpoint, ...]) -> str:
    private = sum(is_private(endpoint.address) for endpoint in tried)
    if not private:
        return ""
    if private == len(tried):
        return "; all are private addresses" if private > 1 else "; it is a private address"
    return f"; {private} are private addresses" if private > 1 else "; 1 is a private address"


def _advice(tried: tuple[Endpoint, ...]) -> str:
    if all(is_private(endpoint.address) for endpoint in tried):
        return (
            "unless both are in one network, let it announce an address that is seen from outside"
            " (extraAnnouncedEndpoints there)"
        )
    ports = sorted({endpoint.port for endpoint in tried})
    return f"open UDP {listed(ports)} there, or our own port here: one side is enough"


def _last_heard(status: KubeSpanPeerStatus, now: float) -> str:
    if status.last_handshake_at is None:
        return "has never called"
    return f"was last heard {now - status.last_handshake_at:.0f} s ago"
