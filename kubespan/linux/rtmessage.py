"""Between rtnetlink's messages, as pyroute2 has them, and the values that steering thinks in.

Pure: messages and values only, no socket. man 7 rtnetlink; Linux include/uapi/linux/rtnetlink.h,
fib_rules.h, if_addr.h.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from socket import AF_INET, AF_INET6
from typing import Any, Final

from kubespan.linux.steering import (
    MAIN_TABLE,
    LinkAddress,
    LinkSetting,
    Route,
    RouteKind,
    Rule,
    Step,
    Subject,
    Verb,
)
from kubespan.model.address import Prefix
from kubespan.model.constants import KUBESPAN_REFUSAL_METRIC, KUBESPAN_TABLE

IFF_UP: Final = 0x1
IFA_F_NODAD: Final = 0x02
RTPROT_STATIC: Final = 4
RTN_UNICAST: Final = 1
RTN_UNREACHABLE: Final = 7
FR_ACT_TO_TBL: Final = 1

FAMILY: Final = {4: AF_INET, 6: AF_INET6}
VERSION: Final = {AF_INET: 4, AF_INET6: 6}
KINDS: Final = {RTN_UNICAST: RouteKind.INTO_LINK, RTN_UNREACHABLE: RouteKind.REFUSED}
KIND_NAMES: Final = {RouteKind.INTO_LINK: "unicast", RouteKind.REFUSED: "unreachable"}
COMMANDS: Final = {Verb.ADD: "add", Verb.SET: "replace", Verb.REMOVE: "del"}

Request = tuple[str, tuple[Any, ...], dict[str, Any]]
"""The name of pyroute2's method, and what to call it with."""


def parse_link(message: Any) -> LinkSetting:
    """Return how a link is set."""
    is_up = bool(message["flags"] & IFF_UP)
    return LinkSetting(message["index"], is_up, message.get_attr("IFLA_MTU"))


def parse_address(message: Any) -> LinkAddress:
    """Return an IPv6 address and its link."""
    address = IPv6Address(message.get_attr("IFA_ADDRESS"))
    return LinkAddress(address, message["prefixlen"], message["index"])


def parse_rule(message: Any) -> Rule:
    """Return a rule; its table is 0 if it leads to none."""
    leads = message["action"] == FR_ACT_TO_TBL
    return Rule(
        VERSION[message["family"]],
        message.get_attr("FRA_PRIORITY") or 0,
        message.get_attr("FRA_FWMARK") or 0,
        message.get_attr("FRA_FWMASK") or 0,
        (message.get_attr("FRA_TABLE") or message["table"]) if leads else 0,
        message.get_attr("FRA_PROTOCOL") or 0,
    )


def parse_route(message: Any) -> Route:
    """Return a route; of one that refuses, IPv6 names a link, which means nothing."""
    kind = KINDS.get(message["type"], RouteKind.OTHER)
    metrics = message.get_attr("RTA_METRICS")
    return Route(
        _destination(message),
        message.get_attr("RTA_TABLE") or message["table"],
        kind,
        message.get_attr("RTA_PRIORITY") or 0,
        (message.get_attr("RTA_OIF") or 0) if kind is RouteKind.INTO_LINK else 0,
        (metrics.get_attr("RTAX_MTU") or 0) if metrics is not None else 0,
    )


def is_change_for(message: Any, name: str, index: int) -> bool:
    """Whether a message is about what we made: any rule, our table, the link or its addresses.

    The link is known by its index; one that has the name of ours matters too.
    """
    event: str = message["event"]
    if event.endswith("LINK"):
        return bool(message["index"] == index or message.get_attr("IFLA_IFNAME") == name)
    if event.endswith("ADDR"):
        return bool(message["index"] == index)
    if event.endswith("ROUTE"):
        ours = (message.get_attr("RTA_TABLE"), message.get_attr("RTA_PRIORITY"))
        return ours[0] == KUBESPAN_TABLE or ours == (MAIN_TABLE, KUBESPAN_REFUSAL_METRIC)
    return event.endswith("RULE")


def request(step: Step) -> Request:
    """Return what to ask of pyroute2 to have a step done."""
    method, words = _words(step.subject)
    command = "set" if isinstance(step.subject, LinkSetting) else COMMANDS[step.verb]
    return method, (command,), words


def _words(subject: Subject) -> tuple[str, dict[str, Any]]:
    match subject:
        case LinkSetting():
            state = "up" if subject.is_up else "down"
            return "link", {"index": subject.index, "mtu": subject.mtu, "state": state}
        case LinkAddress():
            return "addr", _address_words(subject)
        case Rule():
            return "rule", _rule_words(subject)
        case Route():
            return "route", _route_words(subject)


def _address_words(address: LinkAddress) -> dict[str, Any]:
    # Nobody else can have it, and until it is known that nobody has it would be of no use.
    return {
        "family": AF_INET6,
        "index": address.link,
        "address": str(address.address),
        "prefixlen": address.length,
        "flags": IFA_F_NODAD,
    }


def _rule_words(rule: Rule) -> dict[str, Any]:
    return {
        "family": FAMILY[rule.version],
        "priority": rule.priority,
        "fwmark": rule.mark,
        "fwmask": rule.mask,
        "table": rule.table,
        "protocol": rule.protocol,
    }


def _route_words(route: Route) -> dict[str, Any]:
    words = {
        "family": FAMILY[route.destination.version],
        "dst": str(route.destination),
        "table": route.table,
        "type": KIND_NAMES[route.kind],
        "priority": route.metric,
        "proto": RTPROT_STATIC,
    }
    if route.kind is RouteKind.INTO_LINK:
        words |= {"oif": route.link, "scope": "global", "metrics": {"mtu": route.mtu}}
    return words


def _destination(message: Any) -> Prefix:
    version = VERSION[message["family"]]
    text = message.get_attr("RTA_DST")
    return Prefix(version, int(ip_address(text)) if text else 0, message["dst_len"])
