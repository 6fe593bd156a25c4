"""Between messages and values: what is read, what is asked for, and which news matter."""

from __future__ import annotations

from dataclasses import replace
from socket import AF_INET, AF_INET6
from typing import Any

import pytest

from kubespan.linux.rtmessage import (
    is_change_for,
    parse_address,
    parse_link,
    parse_route,
    parse_rule,
    request,
)
from kubespan.linux.steering import LinkSetting, Route, RouteKind, Rule, Step, Verb
from kubespan.model.address import Prefix
from tests.linux.plans import ENTRANCES, EVERYWHERE4, LINK, ON_LINK, REFUSALS, RULES


class Message(dict[str, Any]):
    """Stands for a message: fields by name, attributes by another."""

    def __init__(self, attributes: dict[str, Any], **fields: Any) -> None:
        super().__init__(fields)
        self._attributes = attributes

    def get_attr(self, name: str) -> Any:
        return self._attributes.get(name)


def test_links() -> None:
    message = Message({"IFLA_MTU": 1420}, index=7, flags=0x11043)
    assert parse_link(message) == LINK
    assert parse_link(Message({"IFLA_MTU": 1500}, index=8, flags=0x1002)) == LinkSetting(
        8, is_up=False, mtu=1500
    )


def test_addresses() -> None:
    message = Message({"IFA_ADDRESS": "fd00:0:0:2::1"}, index=7, prefixlen=64)
    assert parse_address(message) == ON_LINK


@pytest.mark.parametrize(
    ("attributes", "fields", "rule"),
    [
        (
            {
                "FRA_PRIORITY": 32500,
                "FRA_FWMARK": 0x40,
                "FRA_FWMASK": 0x60,
                "FRA_TABLE": 180,
                "FRA_PROTOCOL": 180,
            },
            {"family": AF_INET, "action": 1, "table": 180},
            RULES[0],
        ),
        ({}, {"family": AF_INET6, "action": 1, "table": 255}, Rule(6, 0, 0, 0, 255, 0)),
        ({"FRA_PRIORITY": 9}, {"family": AF_INET, "action": 7, "table": 0}, Rule(4, 9, 0, 0, 0, 0)),
    ],
)
def test_rules(attributes: dict[str, Any], fields: dict[str, Any], rule: Rule) -> None:
    assert parse_rule(Message(attributes, **fields)) == rule


@pytest.mark.parametrize(
    ("attributes", "fields", "route"),
    [
        (
            {
                "RTA_TABLE": 180,
                "RTA_PRIORITY": 1,
                "RTA_OIF": 7,
                "RTA_METRICS": Message({"RTAX_MTU": 1420}),
            },
            {"family": AF_INET, "type": 1, "dst_len": 0},
            ENTRANCES[0],
        ),
        (
            {"RTA_TABLE": 180, "RTA_PRIORITY": 27507, "RTA_OIF": 1},
            {"family": AF_INET6, "type": 7, "dst_len": 0},
            REFUSALS[1],
        ),
        (
            {"RTA_DST": "10.1.0.0", "RTA_OIF": 3, "RTA_METRICS": Message({})},
            {"family": AF_INET, "type": 1, "dst_len": 16, "table": 254},
            Route(Prefix.parse("10.1.0.0/16"), 254, RouteKind.INTO_LINK, 0, 3),
        ),
        (
            {},
            {"family": AF_INET, "type": 6, "dst_len": 0, "table": 180},
            Route(EVERYWHERE4, 180, RouteKind.OTHER, 0),
        ),
        (
            {},
            {"family": AF_INET, "type": 1, "dst_len": 0, "table": 180},
            Route(EVERYWHERE4, 180, RouteKind.INTO_LINK, 0),
        ),
    ],
)
def test_routes(attributes: dict[str, Any], fields: dict[str, Any], route: Route) -> None:
    assert parse_route(Message(attributes, **fields)) == route


@pytest.mark.parametrize(
    ("message", "matters"),
    [
        (Message({}, event="RTM_DELRULE"), True),
        (Message({}, event="RTM_NEWRULE"), True),
        (Message({"IFLA_IFNAME": "kubespan"}, event="RTM_NEWLINK", index=8), True),
        (Message({"IFLA_IFNAME": "renamed"}, event="RTM_NEWLINK", index=7), True),
        (Message({"IFLA_IFNAME": "eth0"}, event="RTM_NEWLINK", index=8), False),
        (Message({}, event="RTM_DELADDR", index=7), True),
        (Message({}, event="RTM_DELADDR", index=8), False),
        (Message({"RTA_TABLE": 180}, event="RTM_DELROUTE"), True),
        (Message({"RTA_TABLE": 254, "RTA_PRIORITY": 27507}, event="RTM_DELROUTE"), True),
        (Message({"RTA_TABLE": 254}, event="RTM_NEWROUTE"), False),
        (Message({"RTA_TABLE": 100, "RTA_PRIORITY": 27507}, event="RTM_NEWROUTE"), False),
        (Message({}, event="RTM_NEWNEIGH"), False),
    ],
)
def test_news_that_matter(message: Message, matters: bool) -> None:
    assert is_change_for(message, "kubespan", 7) is matters


REFUSE = {"table": 180, "type": "unreachable", "priority": 27507, "proto": 4}
ENTER = {
    "table": 180,
    "type": "unicast",
    "priority": 1,
    "proto": 4,
    "oif": 7,
    "scope": "global",
    "metrics": {"mtu": 1420},
}
STEER = {"priority": 32500, "fwmark": 0x40, "fwmask": 0x60, "table": 180, "protocol": 180}


@pytest.mark.parametrize(
    ("step", "asked"),
    [
        (
            Step(Verb.SET, LINK),
            ("link", ("set",), {"index": 7, "mtu": 1420, "state": "up"}),
        ),
        (
            Step(Verb.SET, replace(LINK, is_up=False)),
            ("link", ("set",), {"index": 7, "mtu": 1420, "state": "down"}),
        ),
        (
            Step(Verb.ADD, ON_LINK),
            (
                "addr",
                ("add",),
                {
                    "family": AF_INET6,
                    "index": 7,
                    "address": "fd00:0:0:2::1",
                    "prefixlen": 64,
                    "flags": 2,
                },
            ),
        ),
        (Step(Verb.REMOVE, RULES[1]), ("rule", ("del",), {"family": AF_INET6, **STEER})),
        (
            Step(Verb.ADD, REFUSALS[0]),
            ("route", ("add",), {"family": AF_INET, "dst": "0.0.0.0/0", **REFUSE}),
        ),
        (
            Step(Verb.SET, ENTRANCES[1]),
            ("route", ("replace",), {"family": AF_INET6, "dst": "::/0", **ENTER}),
        ),
    ],
)
def test_requests(step: Step, asked: Any) -> None:
    assert request(step) == asked
