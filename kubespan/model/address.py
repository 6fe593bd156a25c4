"""Addresses as WireGuard uses them: where a peer is, how it reached us, and what lies behind it.

Text in, values out; no name is resolved and no interface is looked up. RFC 4291 §2.2 (IPv6 text),
RFC 5952 (how it is written), RFC 6874 §1 (zones).
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple, TypeAlias

from kubespan.model.errors import ConfigError

IPAddress: TypeAlias = IPv4Address | IPv6Address

_MAPPED_IPV4: Final = bytes(10) + b"\xff\xff"
_BROADCAST: Final = IPv4Address(0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An IP address and a port of the outer network, UDP where nothing else is said.

    An IPv4-mapped IPv6 address becomes the IPv4 address it stands for, so that one place has one
    value. `scope_id` is the interface number of an IPv6 link-local address, otherwise 0; the
    address itself carries no zone.
    """

    address: IPAddress
    port: int
    scope_id: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.address, IPv6Address) and self.address.packed[:12] == _MAPPED_IPV4:
            object.__setattr__(self, "address", IPv4Address(self.address.packed[12:]))
            object.__setattr__(self, "scope_id", 0)

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read `192.0.2.1:51820` or `[fe80::1%3]:51820`. Raises ConfigError."""
        host, _, port = text.rpartition(":")
        try:
            if host.startswith("[") and host.endswith("]"):
                host, percent, zone = host[1:-1].partition("%")
                scope_id = _decimal(zone, 2**32 - 1) if percent else 0
                return cls(IPv6Address(host), _decimal(port, 65535), scope_id)
            return cls(IPv4Address(host), _decimal(port, 65535))
        except ValueError:
            raise ConfigError(
                f"{text!r} is not an endpoint; write 192.0.2.1:51820 or [2001:db8::1]:51820,"
                " and the number of the interface in [fe80::1%3]:51820"
            ) from None

    @property
    def is_another_host(self) -> bool:
        """Whether its address may be that of one other host.

        It is not where it is this host's own, many hosts', or link-local without an interface:
        RFC 6890, RFC 4007 §6. IPv4 link-local addresses need none.
        """
        address = self.address
        if address.is_unspecified or address.is_loopback or address.is_multicast:
            return False
        if isinstance(address, IPv6Address):
            return bool(self.scope_id) or not address.is_link_local
        return address != _BROADCAST

    def cookie_source(self) -> bytes:
        """Build what a cookie is bound to: 4 or 16 address bytes, 2 port bytes, big-endian.

        Source: paper §5.4.7; the port as in the kernel's cookie.c.
        """
        return self.address.packed + self.port.to_bytes(2, "big")

    def __str__(self) -> str:
        if isinstance(self.address, IPv4Address):
            return f"{self.address}:{self.port}"
        zone = f"%{self.scope_id}" if self.scope_id else ""
        return f"[{self.address}{zone}]:{self.port}"


@dataclass(frozen=True, slots=True)
class Source:
    """The local address, and the interface by number, that a peer last wrote to."""

    address: IPAddress
    ifindex: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a datagram reached us: from which endpoint, and at which source if that is known."""

    endpoint: Endpoint
    source: Source | None


class Prefix(NamedTuple):
    """All addresses that share their first `length` bits. A tuple: one request may hold 130,560."""

    version: int
    """4 or 6."""

    value: int
    """The address as a number, host bits zero."""

    length: int
    """0 to 32 or 0 to 128."""

    @classmethod
    def parse(cls, text: str) -> Prefix:
        """Read `10.0.0.0/8` or `fd00::/8`; host bits are cleared. Raises ConfigError."""
        host, _, length_text = text.partition("/")
        try:
            if ":" in host:
                length, mask = _IPV6_LENGTHS[length_text]
                return cls(6, _ipv6_value(host) & mask, length)
            length, mask = _IPV4_LENGTHS[length_text]
            a, b, c, d = host.split(".")
            value = _OCTETS[a] << 24 | _OCTETS[b] << 16 | _OCTETS[c] << 8 | _OCTETS[d]
            return cls(4, value & mask, length)
        except (ValueError, KeyError):
            raise ConfigError(_prefix_advice(text)) from None

    def packed(self) -> bytes:
        """Build the address as 4 or 16 bytes, big-endian."""
        return self.value.to_bytes(4 if self.version == 4 else 16, "big")

    def contains(self, address: IPAddress) -> bool:
        """Whether an address is one of these; an IPv4-mapped one counts as IPv6."""
        if address.version != self.version:
            return False
        return (int(address) ^ self.value) >> (address.max_prefixlen - self.length) == 0

    def __str__(self) -> str:
        value = self.value
        if self.version == 4:
            host = f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}"
            return f"{host}/{self.length}"
        return f"{IPv6Address(value)}/{self.length}"


# Looking text up reads and checks it in one step, and is several times quicker than int() with
# the checks that it needs: it would take "+1", " 1", "1_0" and digits of other scripts.
_OCTETS: Final = {str(octet): octet for octet in range(256)}
_IPV4_LENGTHS: Final = {str(n): (n, ~0 << (32 - n)) for n in range(33)}
_IPV6_LENGTHS: Final = {str(n): (n, ~0 << (128 - n)) for n in range(129)}


def _ipv6_value(text: str) -> int:
    """Read an IPv6 address without a zone as a number. Raises ValueError."""
    if "." in text:
        return int(_without_zone(text))
    head, gap, tail = text.partition("::")
    groups = head.split(":") if head else []
    if gap:
        behind = tail.split(":") if tail else []
        missing = 8 - len(groups) - len(behind)
        if missing < 1:
            raise ValueError(text)
        groups += ["0"] * missing + behind
    digits = "".join([group.zfill(4) for group in groups])
    if len(groups) != 8 or len(digits) != 32 or "" in groups:
        raise ValueError(text)
    return int.from_bytes(binascii.unhexlify(digits), "big")


def _without_zone(text: str) -> IPv6Address:
    if "%" in text:
        raise ValueError(text)
    return IPv6Address(text)


def _decimal(text: str, greatest: int) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > greatest:
        raise ValueError(text)
    return int(text)


def _prefix_advice(text: str) -> str:
    host, slash, _ = text.partition("/")
    greatest = 128 if ":" in host else 32
    example = "fd00::/8" if ":" in host else "10.0.0.0/8"
    if not slash and text.isprintable():
        return f"{text!r} has no prefix length; write {text}/{greatest} for that one address"
    return (
        f"{text!r} is not a prefix; write an address, a slash and a length from 0 to {greatest},"
        f" such as {example}"
    )
