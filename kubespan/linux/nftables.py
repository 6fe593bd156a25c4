"""The nftables side of steering: a table of our own that marks packets for members.

Pure: a plan goes in, commands in nft's JSON come out, to be loaded as one transaction. Of the marks
only the bits 0x60 are ours: 0x20 is on WireGuard's own datagrams, which pass; 0x40 is put on
packets that must go into the mesh. Packets of our own are routed again once they are marked; those
of others are marked before they are routed. What this host says to discovery, or as discovery, is
left alone even where a member has the address: that one TCP port, and nothing else that is there.

A transaction puts one set of rules in the place of another for every packet that comes later, but
not for one that is between two chains, or between a chain and its set, at that moment: it may miss
the old rules and the new ones too. So whoever replaces the table has a second one stand in for it
meanwhile. man 5 libnftables-json; Talos controllers/kubespan, for the chains and their rules.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any, Final

from kubespan.linux.steering import VERSIONS
from kubespan.model.address import Prefix
from kubespan.model.constants import KUBESPAN_FORCE_MARK, KUBESPAN_MARK, KUBESPAN_MARK_MASK
from kubespan.model.plan import NetworkPlan

Ruleset = dict[str, list[dict[str, Any]]]
"""What nft reads and writes: {"nftables": [one command or object after another]}."""

Name = dict[str, str]
"""Family and name of a table."""

TABLE: Final = {"family": "inet", "name": "kubespan"}
STAND_IN: Final = {"family": "inet", "name": "kubespan_next"}
"""There only while the other is replaced, and does the same: peers are let in from then on, and a
SYN that left unclamped would stay so for its connection's whole life."""

TALOS_TABLE: Final = {"family": "inet", "name": "talos"}
PREROUTING: Final = "kubespan_prerouting"
OUTGOING: Final = "kubespan_outgoing"

_ALL_BITS: Final = 0xFFFF_FFFF
_HOST_LENGTH: Final = {4: 32, 6: 128}
_PROTOCOL: Final = {4: "ip", 6: "ip6"}
_MARK: Final = {"meta": {"key": "mark"}}
_SEGMENT_SIZE: Final = {"tcp option": {"name": "maxseg", "field": "size"}}
_ACCEPT: Final = {"accept": None}
_COUNTED: Final = frozenset(("set", "chain", "rule"))

Expression = dict[str, Any]
Rule = tuple[Expression, ...]


def ruleset(plan: NetworkPlan) -> Ruleset:
    """Return the commands that put our table, as the plan wants it, in place of any that is there.

    Where nothing is steered no set is made and no rule asks for one.
    """
    return _replacing(TABLE, plan)


def stand_in(plan: NetworkPlan) -> Ruleset:
    """Return the commands that make the table which stands in while ours is replaced."""
    return _replacing(STAND_IN, plan)


def removal(*tables: Name) -> Ruleset:
    """Return the commands after which these tables are not there, whether they were or not."""
    return {"nftables": [command for table in tables for command in _removing(table)]}


def fingerprint(listing: Ruleset) -> str:
    """Return what stays the same as long as nobody changes a listed table."""
    things = [thing for thing in listing["nftables"] if "metainfo" not in thing]
    return sha256(json.dumps(_without_handles(things)).encode()).hexdigest()


def has_everything(listing: Ruleset, commands: Ruleset) -> bool:
    """Whether a listed table has as many sets, chains and rules as the commands made.

    Their insides cannot be compared: nft writes what it was told in its own way.
    """
    made = (command["add"] for command in commands["nftables"] if "add" in command)
    return _kinds(made) == _kinds(listing["nftables"])


def has_table(listing: Ruleset, table: Name) -> bool:
    """Whether a table is among those listed."""
    tables = (thing["table"] for thing in listing["nftables"] if "table" in thing)
    return any(table.items() <= found.items() for found in tables)


def _kinds(things: Iterable[Expression]) -> Counter[str]:
    return Counter(kind for thing in things for kind in thing if kind in _COUNTED)


def _replacing(table: Name, plan: NetworkPlan) -> Ruleset:
    versions = _versions(plan)
    asked = tuple(version for version in versions if _places(plan, version))
    added = (
        {"table": table},
        *({"set": _set(version, plan.steered)} for version in versions),
        *({"set": _service_set(version, _places(plan, version))} for version in asked),
        {"chain": _chain(PREROUTING, "filter", "prerouting")},
        {"chain": _chain(OUTGOING, "route", "output")},
        *(_rule(PREROUTING, rule) for rule in _prerouting(versions)),
        *(_rule(OUTGOING, rule) for rule in _outgoing(versions, asked, _clamps(plan))),
    )
    return {"nftables": [*_removing(table), *({"add": _placed(thing, table)} for thing in added)]}


def _placed(thing: Expression, table: Name) -> Expression:
    """Return a thing with the table that it is in."""
    place = {"family": table["family"], "table": table["name"]}
    return {
        kind: inside if kind == "table" else {**place, **inside} for kind, inside in thing.items()
    }


def _versions(plan: NetworkPlan) -> tuple[int, ...]:
    """Return the IP versions of which anything is steered."""
    steered = {prefix.version for prefix in plan.steered}
    return tuple(version for version in VERSIONS if version in steered)


def _removing(table: Name) -> Iterator[Expression]:
    # Removing what is not there is an error, and adding what is there is none.
    yield {"add": {"table": table}}
    yield {"delete": {"table": table}}


def _places(plan: NetworkPlan, version: int) -> list[Expression]:
    return [
        {"concat": [str(service.address), service.port]}
        for service in plan.services
        if service.address.version == version
    ]


def _service_set(version: int, places: list[Expression]) -> Expression:
    kind = [f"ipv{version}_addr", "inet_service"]
    return {"name": _service_set_name(version), "type": kind, "elem": places}


def _service_set_name(version: int) -> str:
    return f"services{version}"


def _set_name(version: int) -> str:
    return f"steered{version}"


def _set(version: int, prefixes: Iterable[Prefix]) -> Expression:
    elements = [_element(prefix) for prefix in prefixes if prefix.version == version]
    kind = {"name": _set_name(version), "type": f"ipv{version}_addr", "flags": ["interval"]}
    return {**kind, "elem": elements}


def _element(prefix: Prefix) -> str | Expression:
    address, _, _ = str(prefix).partition("/")
    if prefix.length == _HOST_LENGTH[prefix.version]:
        return address
    return {"prefix": {"addr": address, "len": prefix.length}}


def _chain(name: str, kind: str, hook: str) -> Expression:
    return {"name": name, "type": kind, "hook": hook, "prio": 0, "policy": "accept"}


def _rule(chain: str, expressions: Iterable[Expression]) -> Expression:
    return {"rule": {"chain": chain, "expr": list(expressions)}}


def _prerouting(versions: Iterable[int]) -> Iterator[Rule]:
    yield _is_wireguards(), _ACCEPT
    for version in versions:
        yield _is_steered(version), _force(), _ACCEPT


def _outgoing(
    versions: Iterable[int], asked: Iterable[int], clamps: Iterable[Rule]
) -> Iterator[Rule]:
    yield _is_wireguards(), _ACCEPT
    yield _match("==", {"meta": {"key": "oif"}}, "lo"), _ACCEPT
    for version in asked:
        yield _is_service(version, "daddr", "dport"), _ACCEPT
        yield _is_service(version, "saddr", "sport"), _ACCEPT
    yield from clamps
    for version in versions:
        yield _is_steered(version), _force(), _ACCEPT


def _clamps(plan: NetworkPlan) -> Iterator[Rule]:
    for version in _versions(plan):
        yield _is_steered(version), *_clamp(plan.segment_size(version))


def _is_wireguards() -> Expression:
    return _match("==", {"&": [_MARK, KUBESPAN_MARK_MASK]}, KUBESPAN_MARK)


def _is_steered(version: int) -> Expression:
    destination = {"payload": {"protocol": _PROTOCOL[version], "field": "daddr"}}
    return _match("==", destination, f"@{_set_name(version)}")


def _is_service(version: int, address: str, port: str) -> Expression:
    where = {"payload": {"protocol": _PROTOCOL[version], "field": address}}
    place = {"concat": [where, {"payload": {"protocol": "tcp", "field": port}}]}
    return _match("==", place, f"@{_service_set_name(version)}")


def _clamp(size: int) -> Iterator[Expression]:
    flags = {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, {"|": ["syn", "rst"]}]}
    yield _match("==", flags, "syn")
    yield _match(">", _SEGMENT_SIZE, size)
    yield {"mangle": {"key": _SEGMENT_SIZE, "value": size}}


def _force() -> Expression:
    others = {"&": [_MARK, _ALL_BITS & ~KUBESPAN_MARK_MASK]}
    return {"mangle": {"key": _MARK, "value": {"|": [others, KUBESPAN_FORCE_MARK]}}}


def _match(operator: str, left: Expression, right: str | int) -> Expression:
    return {"match": {"op": operator, "left": left, "right": right}}


def _without_handles(thing: Any) -> Any:
    """Return the same without the numbers by which the kernel calls things."""
    if isinstance(thing, dict):
        return {k: _without_handles(value) for k, value in thing.items() if k != "handle"}
    if isinstance(thing, list):
        return [_without_handles(value) for value in thing]
    return thing
