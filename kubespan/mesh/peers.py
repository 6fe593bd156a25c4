"""What every peer should be to WireGuard: affiliates become peer specs, no address given twice.

Where two affiliates claim the same address, the one with the smaller id has it. Nobody is given
what is ours, nor what no host may claim. Talos controllers/kubespan (PeerSpecController).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kubespan.mesh.problem import Problem, ProblemCode, Severity
from kubespan.model.address import Prefix
from kubespan.model.ipset import IPSet, Range, host_prefix
from kubespan.model.keys import PublicKey
from kubespan.model.resources import Affiliate, KubeSpanAffiliate, KubeSpanPeerSpec

NOBODYS: Final = IPSet.of(
    *map(Prefix.parse, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4")),
    *map(Prefix.parse, ("255.255.255.255/32", "::/127", "::ffff:0:0/96", "fe80::/10", "ff00::/8")),
)
"""What is never routed to a peer: unspecified, loopback, link-local, multicast. RFC 6890."""

NOTHING: Final = IPSet()

NOT_PUBLIC: Final = NOBODYS | IPSet.of(
    *map(Prefix.parse, ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")),
    Prefix.parse("fd00::/8"),
)
"""What hosts may have as much of as they like. RFC 1918, RFC 6598, RFC 4193."""

MOST_PUBLIC: Final = {4: 1 << 21, 6: 1 << 112}
"""Public addresses that the networks of one host may have together, by version: a /11 and a /16.

Who claims more claims the internet, at once or in pieces. As many hosts as a discovery service
takes of a cluster, 1,024, together are given half of it at most. Talos has no such bound; what it
announces are the pods of one host, a /24 as a rule.
"""


@dataclass(frozen=True, slots=True)
class Ourselves:
    """What a node must not take from itself."""

    node_id: str
    public_key: PublicKey
    addresses: IPSet
    """Of this host and its pods."""

    services: IPSet = NOTHING
    """Where discovery is, without which we hear of nobody.

    A member may well run on that host, and claim it rightly: it is not given it, and nothing is
    wrong."""


@dataclass(frozen=True, slots=True)
class PeerSpecs:
    """The peers, in ascending order of their affiliates' ids, and what was wrong with any."""

    specs: tuple[KubeSpanPeerSpec, ...]
    problems: tuple[Problem, ...]


class PeerPlanner:
    """Makes peer specs of affiliates, and remembers what it gave away.

    Most looks find nothing changed, or one affiliate, and no dispute: then only that one is planned
    anew. As soon as anything is disputed everything is, in order.
    """

    def __init__(self) -> None:
        self._ourselves: Ourselves | None = None
        self._planned: dict[str, _Planned] = {}
        self._territory = _Territory()
        self._result = PeerSpecs((), ())

    def peer_specs(self, affiliates: Iterable[Affiliate], ourselves: Ourselves) -> PeerSpecs:
        """Return what all peers should be."""
        present = {affiliate.node_id: affiliate for affiliate in affiliates}
        changed = [
            node_id
            for node_id in present.keys() | self._planned.keys()
            if not self._is_planned(node_id, present)
        ]
        if ourselves != self._ourselves or (changed and not self._replan(changed, present)):
            self._plan(present, ourselves)
        return self._result

    def _is_planned(self, node_id: str, present: Mapping[str, Affiliate]) -> bool:
        planned = self._planned.get(node_id)
        return planned is not None and planned.affiliate is present.get(node_id)

    def _plan(self, present: Mapping[str, Affiliate], ourselves: Ourselves) -> None:
        """Plan everything."""
        self._ourselves, self._territory, self._planned = ourselves, _Territory(), {}
        problems: list[Problem] = []
        keys = {ourselves.public_key}
        for node_id in sorted(present):
            planned, found = self._plan_one(present[node_id], ourselves, keys)
            self._planned[node_id] = planned
            problems += found
        self._collect(tuple(problems))

    def _replan(self, changed: Sequence[str], present: Mapping[str, Affiliate]) -> bool:
        """Plan only what changed; False, with nothing to be relied on, if there is a dispute."""
        if self._ourselves is None or self._result.problems:
            return False
        for node_id in changed:
            former = self._planned.pop(node_id, None)
            if former is not None:
                self._territory.release(former.granted, _name(former.affiliate))
        keys = {p.spec.public_key for p in self._planned.values() if p.spec is not None}
        keys.add(self._ourselves.public_key)
        for node_id in changed:
            if node_id in present:
                planned, problems = self._plan_one(present[node_id], self._ourselves, keys)
                if problems:
                    return False
                self._planned[node_id] = planned
        self._collect(())
        return True

    def _plan_one(
        self, affiliate: Affiliate, ourselves: Ourselves, keys: set[PublicKey]
    ) -> tuple[_Planned, list[Problem]]:
        kubespan = affiliate.kubespan
        if kubespan is None or affiliate.node_id == ourselves.node_id:
            return _Planned(affiliate), []
        if kubespan.public_key in keys:
            return _Planned(affiliate), [_same_key(affiliate)]
        keys.add(kubespan.public_key)
        claimed = claim(affiliate, kubespan)
        wanted = claimed - ourselves.addresses - ourselves.services
        granted, owners = self._territory.grant(wanted, _name(affiliate))
        problems = _disputes(affiliate, claimed, ourselves.addresses, owners)
        if _claims_too_much(kubespan):
            problems.append(_too_much(affiliate))
        return _Planned(affiliate, granted, _spec(affiliate, kubespan, granted)), problems

    def _collect(self, problems: tuple[Problem, ...]) -> None:
        specs = (self._planned[node_id].spec for node_id in sorted(self._planned))
        self._result = PeerSpecs(tuple(spec for spec in specs if spec is not None), problems)


@dataclass(frozen=True, slots=True)
class _Planned:
    """What became of one affiliate; no spec where it is no peer."""

    affiliate: Affiliate
    granted: IPSet = NOTHING
    spec: KubeSpanPeerSpec | None = None


def claim(affiliate: Affiliate, kubespan: KubeSpanAffiliate) -> IPSet:
    """Return every address that an affiliate wants to be routed to it."""
    networks = _modest(kubespan.additional_addresses)
    hosts = [host_prefix(address) for address in affiliate.addresses]
    wanted = IPSet.of(*networks, *hosts) - IPSet.of(*kubespan.exclude_advertised_networks)
    if kubespan.address is not None:
        wanted |= IPSet.of(host_prefix(kubespan.address))
    return wanted - NOBODYS


class _Territory:
    """Who has which addresses: ranges that never overlap, in order."""

    def __init__(self) -> None:
        self._taken: list[tuple[Range, str]] = []

    def grant(self, wanted: IPSet, owner: str) -> tuple[IPSet, list[str]]:
        """Give away what is still free of it; return that, and who has the rest."""
        others: dict[str, None] = {}
        free: list[Range] = []
        for piece in wanted.ranges:
            held = self._held(piece)
            others.update((name, None) for _, name in held)
            free += IPSet(tuple(part for part, _ in held)).cut_out_of(piece) if held else [piece]
        for part in free:
            insort(self._taken, (part, owner))
        return IPSet(tuple(free)), list(others)

    def release(self, granted: IPSet, owner: str) -> None:
        """Take back what was given to someone."""
        for part in granted.ranges:
            del self._taken[bisect_left(self._taken, (part, owner))]

    def _held(self, piece: Range) -> list[tuple[Range, str]]:
        """Return what is taken of a range."""
        begin = bisect_left(self._taken, (Range(piece.version, piece.first, piece.first), ""))
        if begin and _reaches(self._taken[begin - 1][0], piece):
            begin -= 1
        end = begin
        while end < len(self._taken) and _reaches(self._taken[end][0], piece):
            end += 1
        return self._taken[begin:end]


def _reaches(taken: Range, piece: Range) -> bool:
    return (
        taken.version == piece.version and taken.first <= piece.last and taken.last >= piece.first
    )


def _modest(networks: Sequence[Prefix]) -> tuple[Prefix, ...]:
    """Return networks without the public ones of a version of which they take too much."""
    public = IPSet.of(*networks) - NOT_PUBLIC
    greedy = {version for version, most in MOST_PUBLIC.items() if public.size(version) > most}
    return tuple(
        network
        for network in networks
        if network.version not in greedy or not public.overlaps(IPSet.of(network))
    )


def _claims_too_much(kubespan: KubeSpanAffiliate) -> bool:
    """Whether it claims networks that no host has; single addresses come as hosts have them."""
    networks = kubespan.additional_addresses
    return _modest(networks) != networks or IPSet.of(*networks).overlaps(NOBODYS)


def _spec(affiliate: Affiliate, kubespan: KubeSpanAffiliate, granted: IPSet) -> KubeSpanPeerSpec:
    return KubeSpanPeerSpec(
        kubespan.public_key,
        kubespan.address,
        granted.prefixes(),
        kubespan.endpoints,
        affiliate.nodename or affiliate.hostname,
    )


def _name(affiliate: Affiliate) -> str:
    return affiliate.nodename or affiliate.hostname or affiliate.node_id


def _disputes(
    affiliate: Affiliate, claimed: IPSet, ours: IPSet, owners: list[str]
) -> list[Problem]:
    name = _name(affiliate)
    found = []
    if claimed.overlaps(ours):
        text = "claims an address of this host or of its pods, which it is not given"
        found.append(_overlap(name, text))
    if owners:
        found.append(_overlap(name, f"claims addresses that {', '.join(owners)} has already"))
    return found


def _too_much(affiliate: Affiliate) -> Problem:
    text = (
        "claims networks that are no host's own, such as 0.0.0.0/0 or much of the internet in"
        " pieces, which it is not given"
    )
    return _overlap(_name(affiliate), text)


def _same_key(affiliate: Affiliate) -> Problem:
    return _overlap(_name(affiliate), "has the WireGuard key of another node, and is left out")


def _overlap(name: str, text: str) -> Problem:
    advice = (
        "give every host its own addresses and key; `kubespan get affiliates` shows who has them"
    )
    return Problem(ProblemCode.OVERLAP, Severity.WARNING, name, text, advice)
