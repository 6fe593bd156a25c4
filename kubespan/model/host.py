"""What is known of the machine we run on: its links, its addresses, how it is seen from outside.

Values only, as Linux says them; reading them is for `kubespan.linux`, judging them for
`kubespan.mesh`. man 7 rtnetlink, RFC 2863 (operational state), Linux include/uapi/linux/if_addr.h.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import CONFORM, Enum, Flag
from typing import Final

from kubespan.model.address import IPAddress
from kubespan.model.ula import MAC_SIZE

SCOPE_GLOBAL: Final = 0
"""Scope of an address that is good everywhere. Linux rtnetlink.h."""

SCOPE_LINK: Final = 253
"""Scope of an address that is good on its link only; what is above is good on the host only."""


class OperationalState(Enum):
    """Whether packets pass a link, under the names that Linux has in `ip link`."""

    UNKNOWN = "UNKNOWN"
    """Its driver does not say; so it is with loopback and TUN devices that are up."""

    NOT_PRESENT = "NOTPRESENT"
    DOWN = "DOWN"
    LOWER_LAYER_DOWN = "LOWERLAYERDOWN"
    TESTING = "TESTING"
    DORMANT = "DORMANT"
    UP = "UP"


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface."""

    index: int
    name: str
    is_ethernet: bool
    kind: str
    """What made it: `bridge`, `veth`, `tun`; empty for hardware."""

    mac: bytes
    """Six bytes on Ethernet, other lengths elsewhere; empty where there is none."""

    is_up: bool
    """Whether the operator wants it so."""

    has_carrier: bool
    state: OperationalState

    @property
    def is_physical(self) -> bool:
        """Whether it is an Ethernet card, or what a virtual machine has for one."""
        return self.is_ethernet and not self.kind


class AddressFlag(Flag, boundary=CONFORM):
    """What the kernel notes beside an address; other notes of it are left out."""

    TEMPORARY = 0x01
    """Made for privacy and soon replaced; on IPv4, second to another one of its network."""

    DUPLICATE = 0x08
    """Another host turned out to have it."""

    DEPRECATED = 0x20
    """Not for anything new."""

    TENTATIVE = 0x40
    """Not ours before it is known that no other host has it."""


NO_FLAGS: Final = AddressFlag(0)


@dataclass(frozen=True, slots=True)
class HostAddress:
    """One address of one link."""

    address: IPAddress
    prefix_length: int
    link_index: int
    scope: int = SCOPE_GLOBAL
    """0 to 255; the higher, the nearer."""

    flags: AddressFlag = NO_FLAGS


@dataclass(frozen=True, slots=True)
class UnderlyingLink:
    """The link over which an endpoint is reached, and the largest packet of the route there."""

    name: str
    mtu: int


@dataclass(frozen=True, slots=True)
class Host:
    """The machine, as far as it matters to the mesh."""

    hostname: str
    links: tuple[Link, ...] = ()
    addresses: tuple[HostAddress, ...] = ()
    public_addresses: tuple[IPAddress, ...] = ()
    """As discovery services see us; already judged to be worth telling others."""


def first_physical_link(links: Iterable[Link]) -> Link | None:
    """Return the physical link whose name comes first, None where no link is physical.

    A MAC that is no MAC, or zero, would give many hosts one address; such a link does not count.
    """
    candidates = (
        link for link in links if link.is_physical and len(link.mac) == MAC_SIZE and any(link.mac)
    )
    return min(candidates, key=lambda link: link.name, default=None)
