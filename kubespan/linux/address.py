"""Reads the links and addresses of a network namespace, all at once.

Blocks: netlink is spoken by pyroute2, whose loop is not the program's own, so this is called in a
worker thread, such as `asyncio.to_thread` has; it looks at the namespace of that thread. Following
what changes is for `kubespan.linux.route`. man 7 rtnetlink.
"""

from __future__ import annotations

from collections.abc import Iterable
from errno import EAGAIN
from importlib import import_module
from ipaddress import ip_address
from typing import Any, Final

from kubespan.model.errors import SystemFault
from kubespan.model.host import AddressFlag, HostAddress, Link, OperationalState

ARPHRD_ETHER: Final = 1
IFF_UP: Final = 0x1

ATTEMPTS: Final = 8
"""How often to begin again when something changes under the reading."""

OPERATION: Final = "read links and addresses"


def read_links_and_addresses() -> tuple[tuple[Link, ...], tuple[HostAddress, ...]]:
    """Return what the calling thread's network namespace has, in the kernel's order.

    Raises SystemFault; EAGAIN if it changes without a pause.
    """
    # Slow to import beside everything else, so only where it is used.
    pyroute2 = import_module("pyroute2")
    try:
        with pyroute2.IPRoute() as netlink:
            for _ in range(ATTEMPTS):
                try:
                    return _links(netlink.get_links()), _addresses(netlink.get_addr())
                except pyroute2.NetlinkDumpInterrupted:
                    continue
    except pyroute2.NetlinkError as error:
        raise SystemFault(OPERATION, error.code) from error
    except OSError as error:
        raise SystemFault(OPERATION, error.errno or 0) from error
    raise SystemFault(OPERATION, EAGAIN)


def _links(messages: Iterable[Any]) -> tuple[Link, ...]:
    return tuple(map(_link, messages))


def _link(message: Any) -> Link:
    information = message.get_attr("IFLA_LINKINFO")
    mac = message.get_attr("IFLA_ADDRESS") or ""
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        is_ethernet=message["ifi_type"] == ARPHRD_ETHER,
        kind=(information.get_attr("IFLA_INFO_KIND") if information else None) or "",
        mac=bytes.fromhex(mac.replace(":", "")),
        is_up=bool(message["flags"] & IFF_UP),
        has_carrier=bool(message.get_attr("IFLA_CARRIER")),
        state=OperationalState(message.get_attr("IFLA_OPERSTATE")),
    )


def _addresses(messages: Iterable[Any]) -> tuple[HostAddress, ...]:
    return tuple(map(_address, messages))


def _address(message: Any) -> HostAddress:
    # Where there is a far end the kernel names that first, and ours as the local one.
    text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    return HostAddress(
        address=ip_address(text),
        prefix_length=message["prefixlen"],
        link_index=message["index"],
        scope=message["scope"],
        flags=AddressFlag(message.get_attr("IFA_FLAGS")),
    )
