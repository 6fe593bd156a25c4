"""The nftables table: its commands to the letter, and what a listing of it is asked."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.linux.nftables import (
    TABLE,
    TALOS_TABLE,
    Ruleset,
    fingerprint,
    has_everything,
    has_table,
    removal,
    ruleset,
    stand_in,
)
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.constants import KUBESPAN_MINIMUM_MTU
from kubespan.model.ipset import IPSet
from kubespan.model.plan import NetworkPlan
from tests.linux.plans import ADDRESS, PLAN, SUBNET, plan

PLACE = {"family": "inet", "table": "kubespan"}
MARK = {"meta": {"key": "mark"}}
WIREGUARDS = {"match": {"op": "==", "left": {"&": [MARK, 0x60]}, "right": 0x20}}
ON_LOOPBACK = {"match": {"op": "==", "left": {"meta": {"key": "oif"}}, "right": "lo"}}
FORCE = {"mangle": {"key": MARK, "value": {"|": [{"&": [MARK, 0xFFFFFF9F]}, 0x40]}}}
ACCEPT = {"accept": None}
OPTION = {"tcp option": {"name": "maxseg", "field": "size"}}
FLAGS = {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, {"|": ["syn", "rst"]}]}
REPLACED = [{"add": {"table": TABLE}}, {"delete": {"table": TABLE}}, {"add": {"table": TABLE}}]


def to(protocol: str, name: str) -> dict[str, Any]:
    left = {"payload": {"protocol": protocol, "field": "daddr"}}
    return {"match": {"op": "==", "left": left, "right": f"@{name}"}}


def place(protocol: str, name: str, address: str, port: str) -> dict[str, Any]:
    fields = ((protocol, address), ("tcp", port))
    left = {"concat": [{"payload": {"protocol": one, "field": field}} for one, field in fields]}
    return {"match": {"op": "==", "left": left, "right": f"@{name}"}}


def clamp(size: int) -> list[dict[str, Any]]:
    return [
        {"match": {"op": "==", "left": FLAGS, "right": "syn"}},
        {"match": {"op": ">", "left": OPTION, "right": size}},
        {"mangle": {"key": OPTION, "value": size}},
    ]


def chain(name: str, kind: str, hook: str) -> dict[str, Any]:
    place = {"name": name, "type": kind, "hook": hook, "prio": 0, "policy": "accept"}
    return {"add": {"chain": {**PLACE, **place}}}


def rule(chain_name: str, *expressions: dict[str, Any]) -> dict[str, Any]:
    return {"add": {"rule": {**PLACE, "chain": chain_name, "expr": list(expressions)}}}


CHAINS = [
    chain("kubespan_prerouting", "filter", "prerouting"),
    chain("kubespan_outgoing", "route", "output"),
]


def test_both_families() -> None:
    sets = [
        ("steered4", "ipv4_addr", [{"prefix": {"addr": "10.0.2.0", "len": 23}}, "10.0.9.9"]),
        ("steered6", "ipv6_addr", [{"prefix": {"addr": "2001:db8:2::", "len": 64}}]),
    ]
    to4, to6 = to("ip", "steered4"), to("ip6", "steered6")
    assert ruleset(PLAN)["nftables"] == [
        *REPLACED,
        *(
            {"add": {"set": {**PLACE, "name": n, "type": t, "flags": ["interval"], "elem": e}}}
            for n, t, e in sets
        ),
        *CHAINS,
        rule("kubespan_prerouting", WIREGUARDS, ACCEPT),
        rule("kubespan_prerouting", to4, FORCE, ACCEPT),
        rule("kubespan_prerouting", to6, FORCE, ACCEPT),
        rule("kubespan_outgoing", WIREGUARDS, ACCEPT),
        rule("kubespan_outgoing", ON_LOOPBACK, ACCEPT),
        rule("kubespan_outgoing", to4, *clamp(1368)),
        rule("kubespan_outgoing", to6, *clamp(1348)),
        rule("kubespan_outgoing", to4, FORCE, ACCEPT),
        rule("kubespan_outgoing", to6, FORCE, ACCEPT),
    ]


def test_nothing_steered_leaves_out_what_would_match_everything() -> None:
    assert ruleset(plan())["nftables"] == [
        *REPLACED,
        *CHAINS,
        rule("kubespan_prerouting", WIREGUARDS, ACCEPT),
        rule("kubespan_outgoing", WIREGUARDS, ACCEPT),
        rule("kubespan_outgoing", ON_LOOPBACK, ACCEPT),
    ]


def test_what_is_said_to_discovery_and_as_discovery_goes_past_the_mesh() -> None:
    services = tuple(map(Endpoint.parse, ("10.0.9.9:443", "[2001:db8:2::1]:3000")))
    commands = ruleset(replace(PLAN, services=services))["nftables"]
    sets = [
        ("services4", ["ipv4_addr", "inet_service"], [{"concat": ["10.0.9.9", 443]}]),
        ("services6", ["ipv6_addr", "inet_service"], [{"concat": ["2001:db8:2::1", 3000]}]),
    ]
    for name, kind, places in sets:
        assert {"add": {"set": {**PLACE, "name": name, "type": kind, "elem": places}}} in commands
    begin = commands.index(rule("kubespan_outgoing", ON_LOOPBACK, ACCEPT)) + 1
    assert commands[begin : begin + 4] == [
        rule("kubespan_outgoing", place("ip", "services4", "daddr", "dport"), ACCEPT),
        rule("kubespan_outgoing", place("ip", "services4", "saddr", "sport"), ACCEPT),
        rule("kubespan_outgoing", place("ip6", "services6", "daddr", "dport"), ACCEPT),
        rule("kubespan_outgoing", place("ip6", "services6", "saddr", "sport"), ACCEPT),
    ]
    stand_ins = [
        one["add"].get("rule", {})
        for one in stand_in(replace(PLAN, services=services))["nftables"]
        if "add" in one
    ]
    spared = [one["expr"] for one in stand_ins if "@services" in json.dumps(one.get("expr"))]
    assert len(spared) == 4
    # Whoever passes through this host is not discovery's client, nor is it discovery.
    assert [one for one in commands if "kubespan_prerouting" in json.dumps(one)] == [
        one for one in ruleset(PLAN)["nftables"] if "kubespan_prerouting" in json.dumps(one)
    ]


def test_no_service_is_left_out_of_what_is_not_steered() -> None:
    """Of a family of which nothing is steered no set is needed."""
    one = replace(plan("10.0.0.0/8"), services=(Endpoint.parse("[2001:db8::1]:443"),))
    assert ruleset(one) == ruleset(plan("10.0.0.0/8"))


@pytest.mark.parametrize(("steered", "absent"), [("10.0.0.0/8", "6"), ("2001:db8::/32", "4")])
def test_one_family_alone(steered: str, absent: str) -> None:
    assert f"steered{absent}" not in json.dumps(ruleset(plan(steered)))


def test_marks_keep_the_bits_of_others() -> None:
    assert 0xFFFFFF9F == 0xFFFFFFFF & ~0x60
    for mark in (0, 0x20, 0x40, 0x60, 0xFFFFFFFF, 0x4000):
        assert (mark & 0xFFFFFF9F) | 0x40 == (mark & 0xFFFFFF9F) ^ 0x40


PREFIXES = st.one_of(
    st.builds(
        lambda n, v: Prefix(4, v >> (32 - n) << (32 - n), n),
        st.integers(0, 32),
        st.integers(0, 2**32 - 1),
    ),
    st.builds(
        lambda n, v: Prefix(6, v >> (128 - n) << (128 - n), n),
        st.integers(0, 128),
        st.integers(0, 2**128 - 1),
    ),
)


@given(st.lists(PREFIXES, max_size=8), st.integers(KUBESPAN_MINIMUM_MTU, 65535))
def test_sets_hold_exactly_what_is_steered(prefixes: list[Prefix], mtu: int) -> None:
    steered = IPSet.of(*prefixes).prefixes()
    commands = ruleset(NetworkPlan(ADDRESS, SUBNET, mtu, steered))["nftables"]
    added = [command["add"] for command in commands if "add" in command]
    sets = [thing["set"] for thing in added if "set" in thing]
    found = [
        Prefix.parse(str(ip_network(e if isinstance(e, str) else _network(e["prefix"]))))
        for kept in sets
        for e in kept["elem"]
    ]
    assert tuple(found) == steered
    asked = {f"steered{version}" for version in {prefix.version for prefix in steered}}
    assert {kept["name"] for kept in sets} == asked
    assert all(f"@{name}" in json.dumps(added) for name in asked)
    assert len([thing for thing in added if "rule" in thing]) == 3 + 3 * len(asked)


def _network(prefix: dict[str, Any]) -> str:
    return f"{prefix['addr']}/{prefix['len']}"


def test_the_stand_in_does_the_same() -> None:
    """Peers are let in once it is there: it marks, and clamps what is answered to them."""
    commands = json.dumps(stand_in(PLAN)).replace("kubespan_next", "kubespan")
    assert json.loads(commands) == ruleset(PLAN)


def test_removal_works_whether_it_is_there_or_not() -> None:
    assert removal(TABLE) == {"nftables": REPLACED[:2]}


def listing(*things: dict[str, Any]) -> Ruleset:
    return {"nftables": [{"metainfo": {"version": "1.0.6"}}, *things]}


def test_a_fingerprint_is_of_the_content_alone() -> None:
    table = {"table": {**TABLE, "handle": 3}}
    with_rule = {"rule": {"handle": 8, "expr": [ACCEPT, {"counter": {"handle": 1}}]}}
    once = fingerprint(listing(table, with_rule))
    again = {"rule": {"handle": 9, "expr": [ACCEPT, {"counter": {}}]}}
    assert fingerprint({"nftables": [{"table": {**TABLE, "handle": 7}}, again]}) == once
    assert fingerprint(listing(table)) != once
    assert fingerprint(listing(with_rule, table)) != once


def test_what_is_listed_is_counted() -> None:
    commands = ruleset(PLAN)
    made = [command["add"] for command in commands["nftables"] if "add" in command]
    assert has_everything(listing(*made[1:]), commands)
    assert not has_everything(listing(*made[1:-1]), commands)
    assert not has_everything(listing(*made[1:], made[-1]), commands)


def test_tables_are_found_by_family_and_name() -> None:
    tables = listing(
        {"table": {**TABLE, "handle": 1}}, {"table": {"family": "ip", "name": "talos"}}
    )
    assert has_table(tables, TABLE)
    assert not has_table(tables, TALOS_TABLE)
