"""What is wrong with the mesh, and what to do about it, from evidence already at hand.

Nothing is probed and nothing is guessed without saying so. The pages behind the codes are in
docs/problems.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

from kubespan.mesh.evidence import Evidence, ServiceFacts
from kubespan.mesh.problem import Problem, ProblemCode, Severity
from kubespan.mesh.reconciler import Outcome
from kubespan.mesh.silence import peer_name, silence
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.constants import AFFILIATE_TTL, TUNNEL_OVERHEAD
from kubespan.model.finding import FindingKind
from kubespan.model.ipset import Range, prefix_range
from kubespan.model.resources import KubeSpanPeerSpec, KubeSpanPeerStatus

SERVICE_PATIENCE: Final = 10.0
"""Seconds for which a discovery service may be away without anybody being told."""

FINDINGS: Final = {FindingKind.REVERSE_PATH_FILTER: ProblemCode.RP_FILTER}
"""Codes of what is in the way on this machine; all else is in the way of steering."""

UNKNOWN: Final = KubeSpanPeerStatus()


def diagnose(outcome: Outcome, evidence: Evidence, now: float) -> tuple[Problem, ...]:
    """Return everything that is wrong, the worst first; `now` is seconds since boot."""
    found = [
        *outcome.problems,
        *_silent(outcome, now),
        *_tunnel_in_tunnel(outcome),
        *_stale(outcome, evidence, now),
        *_services(outcome, evidence.services, now),
        *_mtu(outcome, evidence),
        *_host(outcome, evidence),
    ]
    return tuple(sorted(found, key=_order))


def _order(problem: Problem) -> tuple[bool, bool, str, str]:
    """What concerns everybody before what concerns one, errors before warnings."""
    is_warning = problem.severity is Severity.WARNING
    return is_warning, bool(problem.peer), problem.peer, problem.code.value


# Peers.


def _status(outcome: Outcome, spec: KubeSpanPeerSpec) -> KubeSpanPeerStatus:
    return outcome.statuses.get(spec.public_key, UNKNOWN)


def _silent(outcome: Outcome, now: float) -> Iterator[Problem]:
    found = []
    for spec in outcome.specs:
        problem = silence(
            spec,
            _status(outcome, spec),
            now,
            trying_since=outcome.trying_since.get(spec.public_key),
            held_since=outcome.held_since.get(spec.public_key),
        )
        if problem is not None:
            found.append(problem)
    yield from found
    errors = [problem for problem in found if problem.severity is Severity.ERROR]
    nothing = not any(status.receive_bytes for status in outcome.statuses.values())
    if nothing and len(errors) > 1:
        yield Problem(
            ProblemCode.UDP_BLOCKED,
            Severity.ERROR,
            "",
            f"not a single datagram has come from any of {len(errors)} peers that we write to",
            "look whether this host, or the network it is in, lets UDP out",
        )


def _tunnel_in_tunnel(outcome: Outcome) -> Iterator[Problem]:
    networks = _Networks(outcome.specs)
    for spec in outcome.specs:
        name, status = peer_name(spec), _status(outcome, spec)
        inside = [
            endpoint
            for endpoint in spec.endpoints
            if outcome.network.subnet.contains(endpoint.address)
        ]
        if inside:
            yield _nested(name, inside[0], "is an address of the mesh itself")
        elif spec.public_key in outcome.trying_since and status.last_used_endpoint is not None:
            owner = networks.owner(status.last_used_endpoint)
            if owner is not None and owner != name:
                where = f"lies in a network that is routed to {owner}"
                yield _nested(name, status.last_used_endpoint, where)


def _nested(name: str, endpoint: Endpoint, where: str) -> Problem:
    return Problem(
        ProblemCode.TUNNEL_IN_TUNNEL,
        Severity.WARNING,
        name,
        f"its endpoint {endpoint} {where}",
        "leave it out: filters.endpoints there, or filters.peerEndpoints here",
    )


class _Networks:
    """Who has which network; single addresses are left out, for every peer's endpoints are its."""

    def __init__(self, specs: Iterable[KubeSpanPeerSpec]) -> None:
        self._ranges: list[tuple[Range, str]] = sorted(
            (prefix_range(prefix), peer_name(spec))
            for spec in specs
            for prefix in spec.allowed_ips
            if not _is_host(prefix)
        )

    def owner(self, endpoint: Endpoint) -> str | None:
        value, version = int(endpoint.address), endpoint.address.version
        place = bisect_right(self._ranges, (Range(version, value, 1 << 128), ""))
        if not place:
            return None
        piece, name = self._ranges[place - 1]
        return name if piece.version == version and value <= piece.last else None


def _is_host(prefix: Prefix) -> bool:
    return prefix.length == (32 if prefix.version == 4 else 128)


def _stale(outcome: Outcome, evidence: Evidence, now: float) -> Iterator[Problem]:
    for spec in outcome.specs:
        seen_at = evidence.seen_at.get(spec.public_key)
        if seen_at is None or now - seen_at <= AFFILIATE_TTL:
            continue
        if not outcome.answers(spec.public_key):
            yield Problem(
                ProblemCode.STALE_AFFILIATE,
                Severity.WARNING,
                peer_name(spec),
                f"no discovery service has spoken of it for {(now - seen_at) / 60:.0f} min",
                "if the host is gone for good, nothing: it is forgotten when discovery is back;"
                " else see what keeps it from its discovery service",
            )


# Discovery.


def _services(
    outcome: Outcome, services: tuple[ServiceFacts, ...], now: float
) -> Iterator[Problem]:
    for service in services:
        if service.down_since is not None and now - service.down_since >= SERVICE_PATIENCE:
            yield _service_down(outcome, service, service.down_since, now)
        if service.is_at_limit:
            yield Problem(
                ProblemCode.DISCOVERY_LIMIT,
                Severity.WARNING,
                "",
                f"{service.target} takes no more of this cluster's nodes or endpoints",
                "remove nodes that are gone, announce fewer endpoints (filters.endpoints), or"
                " turn harvestExtraEndpoints off",
            )


def _service_down(
    outcome: Outcome, service: ServiceFacts, down_since: float, now: float
) -> Problem:
    reason = f": {service.failure}" if service.failure else ""
    return Problem(
        ProblemCode.DISCOVERY_DOWN,
        Severity.WARNING if outcome.specs else Severity.ERROR,
        "",
        f"{service.target} has been away for {now - down_since:.0f} s{reason}",
        "tunnels stay, but nobody new is found; see whether this host reaches it",
    )


# This host.


def _mtu(outcome: Outcome, evidence: Evidence) -> Iterator[Problem]:
    planned, found = outcome.mtu.value, evidence.interface_mtu
    if found is not None and found != planned:
        yield _wrong_mtu(
            f"the interface has an MTU of {found}, and {planned} was set",
            "see what else sets it: network managers like to",
        )
    if not evidence.ways:
        return
    endpoint, link = min(evidence.ways.items(), key=lambda way: (way[1].mtu, str(way[0])))
    fits = link.mtu - TUNNEL_OVERHEAD
    if fits < planned:
        yield _wrong_mtu(
            f"packets of {planned} do not fit through {link.name} ({link.mtu}) to {endpoint}",
            f"no more than {fits} fits: raise the MTU of {link.name}, or leave mtu out of the"
            " configuration",
        )


def _wrong_mtu(text: str, advice: str) -> Problem:
    return Problem(ProblemCode.MTU, Severity.WARNING, "", text, advice)


def _host(outcome: Outcome, evidence: Evidence) -> Iterator[Problem]:
    for finding in evidence.findings:
        yield Problem(
            FINDINGS.get(finding.kind, ProblemCode.STEERING),
            Severity.ERROR,
            "",
            finding.text,
            finding.next,
        )
    if evidence.clock_behind > 0:
        yield Problem(
            ProblemCode.CLOCK,
            Severity.ERROR,
            "",
            f"the clock is at least {evidence.clock_behind:.0f} s behind; peers that knew this"
            " host refuse its handshakes until it has caught up",
            "set the clock, and keep it set (timedatectl set-ntp true)",
        )
    if not evidence.is_native:
        yield Problem(
            ProblemCode.SLOW_PATH,
            Severity.WARNING,
            "",
            f"packets of {outcome.network.link} are moved in Python, which is slow",
            "build the native module (python setup.py build_ext --inplace), and do not set"
            " KUBESPAN_PURE",
        )
