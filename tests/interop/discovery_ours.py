"""Members of a cluster that are our own client, to stand beside those of the official library."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from kubespan.discovery.client.authorities import Authorities
from kubespan.discovery.client.client import Report
from kubespan.discovery.client.services import RAW_PREFIX, Services
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import DiscoveryService
from kubespan.model.keys import PublicKey
from kubespan.model.resources import Affiliate, ControlPlane, KubeSpanAffiliate, MachineType
from tests.interop.discovery_cluster import Cluster, inside
from tests.interop.discovery_go import PATIENCE

SERVICE = "test"


def value(name: str) -> Affiliate:
    """Return as our client has it what `discovery_cluster.node` is as a message."""
    return Affiliate(
        node_id=name,
        addresses=(ipaddress.ip_address("192.168.3.4"), inside(name)),
        hostname=f"{name}.example.org",
        nodename=name,
        machine_type=MachineType.CONTROL_PLANE,
        operating_system="Talos (v1.14.0)",
        kubespan=KubeSpanAffiliate(
            public_key=PublicKey(name.encode().ljust(32, b"\0")),
            address=inside(name),
            additional_addresses=(Prefix.parse("10.244.3.0/24"), Prefix.parse("fd00:1::/64")),
            endpoints=(Endpoint.parse("10.0.0.2:51820"), Endpoint.parse("[2001:db8::2]:1234")),
            exclude_advertised_networks=(Prefix.parse("192.168.1.0/24"),),
        ),
        control_plane=ControlPlane(6443),
    )


def values(*names: str) -> dict[str, Affiliate]:
    """Return what our client should know of these nodes."""
    return {name: value(name) for name in names}


def with_endpoint(affiliate: Affiliate, text: str) -> Affiliate:
    """Return it with one endpoint more."""
    assert affiliate.kubespan is not None
    endpoints = (*affiliate.kubespan.endpoints, Endpoint.parse(text))
    return replace(affiliate, kubespan=replace(affiliate.kubespan, endpoints=endpoints))


class OurMember:
    """One node that runs our client, on the test's own event loop."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self.services = Services(
            [DiscoveryService(SERVICE, cluster.endpoint, insecure=not cluster.ca)],
            cluster.id,
            ClusterSecret(cluster.secret),
            name,
            self._hear,
            authorities=Authorities(Path(cluster.ca) if cluster.ca else None),
            is_useful=lambda address: address.is_loopback,  # all that there is in a test
        )
        self._news = asyncio.Event()
        self.changed_at: dict[str, float] = {}
        """When each other member was last heard to be new, different or gone."""

    @property
    def table(self) -> Mapping[str, Affiliate]:
        """What it knows, by node id."""
        prefix = f"{RAW_PREFIX}{SERVICE}/"
        return {raw.removeprefix(prefix): one for raw, one in self.services.raw.items()}

    async def sees(self, expected: Mapping[str, Affiliate]) -> None:
        """Return once it knows exactly these."""
        try:
            await self.until(lambda one: one.table == expected)
        except TimeoutError:
            assert self.table == expected

    async def until(self, holds: Callable[[OurMember], bool]) -> None:
        """Return once this holds of what it knows. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            while not holds(self):
                self._news.clear()
                await self._news.wait()

    def _hear(self, _: str, report: Report) -> None:
        for change in getattr(report, "changes", ()):
            self.changed_at[change.id] = time.time()
        self._news.set()


class OurMembers(AsyncExitStack):
    """As many of them as a test likes; they leave when it ends."""

    async def join(self, cluster: Cluster, name: str) -> OurMember:
        """Start a member that tells everything of itself."""
        member = OurMember(cluster, name)
        member.services.start()
        self.push_async_callback(member.services.stop)
        member.services.announce(value(name))
        return member
