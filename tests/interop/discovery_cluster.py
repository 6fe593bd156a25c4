"""A cluster of the tests: its id and secret, and nodes with every field that a node can have."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import itertools
import secrets
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from kubespan.discovery.proto import client_pb2
from tests.interop.discovery_go import TTL, GoPeers, Member, Place, Seen

_HOSTS = itertools.count(2)


def next_source() -> str:
    """Return one of this host's own addresses, another one each time.

    The server has patience with so many calls a second from one address, and all of ours would
    otherwise come from the same.
    """
    n = next(_HOSTS)
    return f"127.{1 + (n >> 16 & 63)}.{n >> 8 & 255}.{n & 255}"


def endpoint(address: str, port: int = 51820) -> client_pb2.Endpoint:
    """Build one endpoint."""
    return client_pb2.Endpoint(ip=ipaddress.ip_address(address).packed, port=port)


def prefix(text: str) -> client_pb2.IPPrefix:
    """Build one network."""
    network = ipaddress.ip_network(text)
    return client_pb2.IPPrefix(ip=network.network_address.packed, bits=network.prefixlen)


def inside(name: str) -> ipaddress.IPv6Address:
    """Return where a node is inside the mesh."""
    number = int.from_bytes(name.encode()[-2:], "big")
    return ipaddress.IPv6Address(f"fd50:8d60:4238:6302::{number:x}")


ENDPOINTS = (endpoint("10.0.0.2"), endpoint("2001:db8::2", 1234))


def node(name: str) -> client_pb2.Affiliate:
    """Build a node with every field, the same for the same name."""
    address = inside(name).packed
    return client_pb2.Affiliate(
        node_id=name,
        addresses=[ipaddress.ip_address("192.168.3.4").packed, address],
        hostname=f"{name}.example.org",
        nodename=name,
        machine_type="controlplane",
        operating_system="Talos (v1.14.0)",
        kubespan=client_pb2.KubeSpan(
            public_key=base64.b64encode(name.encode().ljust(32, b"\0")).decode(),
            address=address,
            additional_addresses=[prefix("10.244.3.0/24"), prefix("fd00:1::/64")],
            exclude_advertised_addresses=[prefix("192.168.1.0/24")],
        ),
        control_plane=client_pb2.ControlPlane(api_server_port=6443),
    )


def nodes(names: Iterable[str]) -> dict[str, Seen]:
    """Return what others should know of these nodes once they are announced."""
    return {name: Seen(node(name), ENDPOINTS, 0.0) for name in names}


def seen(
    affiliate: client_pb2.Affiliate, endpoints: Iterable[client_pb2.Endpoint] = ()
) -> dict[str, Seen]:
    """Return what others should know of an affiliate."""
    return {affiliate.node_id: Seen(affiliate, tuple(endpoints), 0.0)}


@dataclass
class Cluster:
    """One cluster, whose members of the official library run in one program."""

    go: GoPeers
    endpoint: str
    """Of its server."""

    ca: str = ""
    id: str = field(default_factory=lambda: f"cluster-{uuid.uuid4()}")
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    members: list[Member] = field(default_factory=list)

    def place(self) -> Place:
        """Return the server as a place to speak to, from an address that nobody else has."""
        return Place(self.endpoint, next_source(), self.ca)

    async def join(self, name: str, *, ttl: float = TTL, place: Place | None = None) -> Member:
        """Start a member that says nothing of itself yet."""
        member = await self.go.member(
            place or self.place(), cluster=self.id, affiliate=name, secret=self.secret, ttl=ttl
        )
        self.members.append(member)
        return member

    async def populate(self, *names: str, ttl: float = TTL) -> list[Member]:
        """Start members that tell everything of themselves, and wait until all know all.

        The server has acknowledged each by then: an official client whose refresh fails would
        neither hear nor say anything for half of its TTL.
        """
        await asyncio.gather(*(self.join(name, ttl=ttl) for name in names))
        self.members.sort(key=lambda member: names.index(member.affiliate))
        for name, member in zip(names, self.members, strict=True):
            await member.set(node(name), ENDPOINTS)
        for member in self.members:
            await member.until(lambda member: member.acknowledged["AffiliateUpdate"] > 0)
        await self.know_each_other(*names)
        return self.members

    async def know_each_other(self, *names: str, since: float = 0.0) -> None:
        """Return once every member knows exactly the others, by what it heard since a moment."""
        everyone = nodes(names)
        for name, member in zip(names, self.members, strict=True):
            await member.sees({k: v for k, v in everyone.items() if k != name}, since)
