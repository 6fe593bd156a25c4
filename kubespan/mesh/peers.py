"""What every peer should be to WireGuard: affiliates become peer specs, no address given twice.

Where two affiliates claim the same address, the one with the smaller id has it. Nobody is given
what is ours, nor what no host may claim. Talos controllers/kubespan (PeerSpecController).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from kubespan.mesh.problem import Problem, ProblemCode, Severity, listed
from kubespan.mesh.territory import Concerned, Territory
from kubespan.model.address import Prefix
from kubespan.model.ipset import IPSet, Range, host_prefix, range_prefixes
from kubespan.model.keys import PublicKey
from kubespan.model.resources import Affiliate, KubeSpanAffiliate, KubeSpanPeerSpec

NOBODYS: Final = IPSet.of(
    *map(Prefix.parse, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4")),
    *map(Prefix.parse, ("255.255.255.255/32", "::/127", "::ffff:0:0/96", "fe80::/10", "ff00::/8")),
)
"""What is never routed to a peer: unspecified, loopback, link-local, multicast. RFC 6890."""

TRANSLATED: Final = IPSet.of(
    *map(Prefix.parse, ("64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16"))
)
"""All of IPv4 by another name, behind translators and tunnels: no network of one host, though a
host may have an address in it. RFC 6052, RFC 8215, RFC 4380, RFC 3056."""

NOTHING: Final = IPSet()

NOT_PUBLIC: Final = NOBODYS | IPSet.of(
    *map(Prefix.parse, ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")),
    Prefix.parse("fd00::/8"),
)
"""What hosts may have as much of as they like. RFC 1918, RFC 6598, RFC 4193."""

MOST_PUBLIC: Final = {4: 1 << 16, 6: 1 << 96}
"""Public addresses that the networks of one host may have together, by version: a /16 and a /32.

Who claims more claims the internet, at once or in pieces. As many hosts as a discovery service
takes of a cluster, 1,024, together are given a sixty-fourth of IPv4 at most, and of IPv6 a /22,
less than any registry has. Talos has no such bound; what it announces are the pods of one host, a
/24 or a /64 as a rule.
"""


@dataclass(frozen=True, slots=True)
class Ourselves:
    """What a node must not take from itself."""

    node_id: str
    public_key: PublicKey
    addresses: IPSet
    """Of this host and its pods."""


@dataclass(frozen=True, slots=True)
class PeerSpecs:
    """The peers, in ascending order of their affiliates' ids, and what was wrong with any."""

    specs: tuple[KubeSpanPeerSpec, ...]
    problems: tuple[Problem, ...]


class PeerPlanner:
    """Makes peer specs of affiliates, and remembers what it gave away.

    Most looks find nothing changed, or one affiliate. Then that one is specified anew, and whoever
    gains or loses by it; everybody else's spec stays the very value that it was.
    """

    def __init__(self) -> None:
        self._plan: _Plan | None = None

    def peer_specs(self, affiliates: Iterable[Affiliate], ourselves: Ourselves) -> PeerSpecs:
        """Return what all peers should be."""
        if self._plan is None or self._plan.ourselves != ourselves:
            self._plan = _Plan(ourselves)
        self._plan.follow({affiliate.node_id: affiliate for affiliate in affiliates})
        return self._plan.result


class _Plan:
    """What becomes of all affiliates, as long as we are who we are."""

    def __init__(self, ourselves: Ourselves) -> None:
        self.ourselves = ourselves
        self.result = PeerSpecs((), ())
        self._standings: dict[str, _Standing] = {}
        self._grants: dict[str, _Grant] = {}
        self._problems: dict[str, tuple[Problem, ...]] = {}
        self._key_holders: Mapping[PublicKey, str] = {}
        self._territory = Territory()

    def follow(self, present: Mapping[str, Affiliate]) -> None:
        """Find out what changed, and settle it with whomever that concerns."""
        changed = {
            node_id
            for node_id in present.keys() | self._grants.keys()
            if not self._is_settled(node_id, present)
        }
        if not changed:
            return
        settled = changed | self._pass_keys(changed, present)
        concerned = self._settle(settled, present)
        for node_id in changed - present.keys():
            del self._grants[node_id], self._problems[node_id]
        self._grant((settled | concerned.owners) & present.keys(), present)
        for node_id in (settled | concerned.claimants) & present.keys():
            self._problems[node_id] = self._judge(present[node_id])
        self._collect()

    def _is_settled(self, node_id: str, present: Mapping[str, Affiliate]) -> bool:
        grant = self._grants.get(node_id)
        return grant is not None and grant.affiliate is present.get(node_id)

    def _pass_keys(self, changed: set[str], present: Mapping[str, Affiliate]) -> set[str]:
        """Find out who has which key; return who has one, or had it, of those that changed."""
        former, self._key_holders = self._key_holders, _key_holders(present, self.ourselves)
        versions = [self._grants[node_id].affiliate for node_id in changed & self._grants.keys()]
        versions += [present[node_id] for node_id in changed & present.keys()]
        keys = {one.kubespan.public_key for one in versions if one.kubespan is not None}
        both = (holders.get(key) for holders in (former, self._key_holders) for key in keys)
        return {node_id for node_id in both if node_id is not None}

    def _settle(self, node_ids: set[str], present: Mapping[str, Affiliate]) -> Concerned:
        """Let some claim what they claim now, and nothing else."""
        wanted = dict.fromkeys(node_ids, NOTHING)
        renamed = set()
        for node_id in node_ids:
            former = self._standings.pop(node_id, None)
            everything = self._claimed(present.get(node_id))
            if everything is not None:
                now = self._stand(present[node_id], everything)
                self._standings[node_id] = now
                wanted[node_id] = everything - self.ourselves.addresses
                if former is not None and former.name != now.name:
                    renamed.add(node_id)
        return self._territory.change(wanted, renamed)

    def _claimed(self, affiliate: Affiliate | None) -> IPSet | None:
        """Return what one claims; None if it is no peer, as without a key of its own."""
        if affiliate is None or affiliate.node_id == self.ourselves.node_id:
            return None
        kubespan = affiliate.kubespan
        if kubespan is None or self._key_holders.get(kubespan.public_key) != affiliate.node_id:
            return None
        return claim(affiliate, kubespan)

    def _stand(self, affiliate: Affiliate, everything: IPSet) -> _Standing:
        wants_ours = everything.overlaps(self.ourselves.addresses)
        is_greedy = affiliate.kubespan is not None and _is_greedy(affiliate.kubespan)
        return _Standing(_name(affiliate), wants_ours, is_greedy)

    def _grant(self, node_ids: set[str], present: Mapping[str, Affiliate]) -> None:
        """Give some what is theirs."""
        for node_id, granted in self._territory.granted(node_ids).items():
            self._grants[node_id] = self._specify(present[node_id], granted)

    def _specify(self, affiliate: Affiliate, granted: IPSet) -> _Grant:
        """Return what one is given; what is right of before stays the same value."""
        node_id, kubespan = affiliate.node_id, affiliate.kubespan
        if kubespan is None or node_id not in self._standings:
            return _Grant(affiliate)
        former = self._grants.get(node_id, _Grant(affiliate))
        prefixes = {one: former.prefixes.get(one) or _cut(one) for one in granted.ranges}
        is_same = former.affiliate is affiliate and former.prefixes == prefixes
        spec = (former.spec if is_same else None) or _spec(affiliate, kubespan, prefixes)
        return _Grant(affiliate, prefixes, spec)

    def _judge(self, affiliate: Affiliate) -> tuple[Problem, ...]:
        """Return what is wrong with one."""
        node_id = affiliate.node_id
        if affiliate.kubespan is None or node_id == self.ourselves.node_id:
            return ()
        standing = self._standings.get(node_id)
        if standing is None:
            return (_same_key(affiliate),)
        owners = self._territory.owners(node_id)
        return _problems(standing, (self._standings[owner].name for owner in owners))

    def _collect(self) -> None:
        specs = (self._grants[node_id].spec for node_id in sorted(self._grants))
        problems = (self._problems[node_id] for node_id in sorted(self._problems))
        self.result = PeerSpecs(
            tuple(spec for spec in specs if spec is not None),
            tuple(chain.from_iterable(problems)),
        )


@dataclass(frozen=True, slots=True)
class _Standing:
    """How a peer stands with its claim, and by which name; who is no peer has none."""

    name: str
    wants_ours: bool
    is_greedy: bool


@dataclass(frozen=True, slots=True)
class _Grant:
    """What one affiliate is given; no spec where it is no peer."""

    affiliate: Affiliate
    prefixes: Mapping[Range, tuple[Prefix, ...]] = field(default_factory=dict)
    """What each of the ranges that it was given is made of."""

    spec: KubeSpanPeerSpec | None = None


def _key_holders(present: Mapping[str, Affiliate], ourselves: Ourselves) -> dict[PublicKey, str]:
    """Return who has which key: ours is ours, any other that of the smallest id with it."""
    holders = {ourselves.public_key: ourselves.node_id}
    for node_id in sorted(present):
        kubespan = present[node_id].kubespan
        if kubespan is not None and node_id != ourselves.node_id:
            holders.setdefault(kubespan.public_key, node_id)
    return holders


def claim(affiliate: Affiliate, kubespan: KubeSpanAffiliate) -> IPSet:
    """Return every address that an affiliate wants to be routed to it."""
    networks = _modest(kubespan.additional_addresses)
    hosts = [host_prefix(address) for address in affiliate.addresses]
    wanted = (IPSet.of(*networks) - TRANSLATED) | IPSet.of(*hosts)
    wanted -= IPSet.of(*kubespan.exclude_advertised_networks)
    if kubespan.address is not None:
        wanted |= IPSet.of(host_prefix(kubespan.address))
    return wanted - NOBODYS


def _modest(networks: Sequence[Prefix]) -> tuple[Prefix, ...]:
    """Return networks without the public ones of a version of which they take too much."""
    public = IPSet.of(*networks) - NOT_PUBLIC
    greedy = {version for version, most in MOST_PUBLIC.items() if public.size(version) > most}
    return tuple(
        network
        for network in networks
        if network.version not in greedy or not public.overlaps(IPSet.of(network))
    )


def _is_greedy(kubespan: KubeSpanAffiliate) -> bool:
    """Whether it claims networks that no host has; single addresses come as hosts have them."""
    return are_too_much(kubespan.additional_addresses)


def are_too_much(networks: tuple[Prefix, ...]) -> bool:
    """Tell whether they are more than one host has: much of the internet, or what is nobody's."""
    return _modest(networks) != networks or IPSet.of(*networks).overlaps(NOBODYS | TRANSLATED)


def _cut(piece: Range) -> tuple[Prefix, ...]:
    return tuple(range_prefixes(piece))


def _spec(
    affiliate: Affiliate,
    kubespan: KubeSpanAffiliate,
    prefixes: Mapping[Range, tuple[Prefix, ...]],
) -> KubeSpanPeerSpec:
    return KubeSpanPeerSpec(
        kubespan.public_key,
        kubespan.address,
        tuple(chain.from_iterable(prefixes.values())),
        kubespan.endpoints,
        affiliate.nodename or affiliate.hostname,
    )


def _name(affiliate: Affiliate) -> str:
    return affiliate.nodename or affiliate.hostname or affiliate.node_id


def _problems(standing: _Standing, owners: Iterable[str]) -> tuple[Problem, ...]:
    texts = []
    if standing.wants_ours:
        texts.append("claims an address of this host or of its pods, which it is not given")
    names = listed(owners)
    if names:
        texts.append(
            f"claims addresses that are given to {names}: of several that claim one, the smallest"
            " id has it"
        )
    if standing.is_greedy:
        texts.append(
            "claims networks that are no host's own, such as 0.0.0.0/0 or much of the internet in"
            " pieces, which it is not given"
        )
    return tuple(_overlap(standing.name, text) for text in texts)


def _same_key(affiliate: Affiliate) -> Problem:
    return _overlap(_name(affiliate), "has the WireGuard key of another node, and is left out")


def _overlap(name: str, text: str) -> Problem:
    advice = (
        "give every host its own addresses and key; `kubespan get affiliates` shows who has them"
    )
    return Problem(ProblemCode.OVERLAP, Severity.WARNING, name, text, advice)
