"""Who is there, from all sources at once: every discovery service, static peers, and the cache.

Joins what they say and remembers how it stands with each service. Services come and go with the
configuration; those that stay keep their conversation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from kubespan.discovery.client.authorities import Authorities
from kubespan.discovery.client.client import Report
from kubespan.discovery.client.effects import FailureReason, Publish, SeenAt, Tell
from kubespan.discovery.client.services import Services
from kubespan.mesh.affiliates import merged_affiliates, static_affiliates
from kubespan.mesh.evidence import ServiceFacts
from kubespan.mesh.local import useful_public_addresses
from kubespan.model.address import Endpoint, IPAddress
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import DiscoveryService, NodeConfig
from kubespan.model.resources import Affiliate


class Discovering:
    """All sources of a node's mesh. `hear_members` and `hear_address` are called on the loop."""

    def __init__(
        self,
        config: NodeConfig,
        secret: ClusterSecret,
        node_id: str,
        hear_members: Callable[[], object],
        hear_address: Callable[[], object],
        tell: Callable[[str, bool], object],
    ) -> None:
        self._cluster_id = config.cluster_id
        self._secret = secret
        self._node_id = node_id
        self._hear_members = hear_members
        self._hear_address = hear_address
        self._tell = tell
        self._authorities = Authorities(None)
        self._services: dict[DiscoveryService, Services] = {}
        self._troubles: dict[str, str] = {}
        self._down_since: dict[str, float] = {}
        self._remembered: Mapping[str, Affiliate] = {}
        self._announced: Affiliate | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self.static: Mapping[str, Affiliate] = {}
        """Static peers, by raw id."""

        self.heard: Mapping[str, Affiliate] = {}
        """What services say of members, by raw id: `service/NAME/ID`."""

        self.affiliates: tuple[Affiliate, ...] = ()
        """Everybody, joined, in ascending order of ids."""

        self.configure(config)

    def configure(self, config: NodeConfig) -> None:
        """Ask the services of this configuration from now on, and no others."""
        for service in self._services.keys() - set(config.services):
            self._leave(self._services.pop(service))
        for service in config.services:
            if service not in self._services:
                self._services[service] = self._join(service)
        self.static = static_affiliates(config.static_peers)
        self._join_all()

    async def stop(self) -> None:
        """Withdraw from every service; takes a few seconds at most.

        That a record is deleted is no proof to members whose tunnel to us is still up: services
        err, and anybody can delete. That we are no peer any more, sealed with the secret, is.
        """
        if self._announced is not None:
            self.announce(replace(self._announced, kubespan=None))
        for services in self._services.values():
            self._leave(services)
        self._services = {}
        await asyncio.gather(*self._leaving)

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """Where we are seen from outside: at most one address a family, IPv4 first."""
        seen: dict[int, IPAddress] = {}
        for services in self._services.values():
            seen = {**{address.version: address for address in services.addresses}, **seen}
        return tuple(address for _, address in sorted(seen.items()))

    @property
    def is_heard(self) -> bool:
        """Whether a service tells us right now who is there."""
        return any(services.is_heard for services in self._services.values())

    @property
    def targets(self) -> tuple[str, ...]:
        """Where the services are that were configured: `host:port` each.

        Not where these send us to. What is said to a target goes past the mesh, and no service is
        to choose what else of a member that is.
        """
        return tuple(service.target for service in self._services)

    def facts(self, now: float) -> tuple[ServiceFacts, ...]:
        """Return how it stands with every service; `now` is seconds since boot."""
        return tuple(
            self._facts(service, services, now) for service, services in self._services.items()
        )

    def announce(self, affiliate: Affiliate) -> int:
        """Register everywhere as this; return how many endpoints cannot be told.

        Raises BlobRefused if the affiliate cannot be sent at all.
        """
        self._announced = affiliate
        return max((one.announce(affiliate) for one in self._services.values()), default=0)

    def remember(self, members: Mapping[str, Affiliate]) -> None:
        """Take these, by id, for members until the services tell better."""
        self._remembered = members
        for services in self._services.values():
            services.remember(members)
        self._join_all()

    def redial(self) -> None:
        """Begin every conversation anew: the host has lost an address."""
        for services in self._services.values():
            services.redial()

    def set_harvest(self, endpoints: Mapping[str, Sequence[Endpoint]]) -> None:
        """Tell where others were reached, by id."""
        for services in self._services.values():
            services.set_harvest(endpoints)

    def set_live(self, ids: AbstractSet[str]) -> None:
        """To these members our tunnel is up."""
        for services in self._services.values():
            services.set_live(ids)

    def _join(self, service: DiscoveryService) -> Services:
        services = Services(
            (service,),
            self._cluster_id,
            self._secret,
            self._node_id,
            self._hear,
            authorities=self._authorities,
            is_useful=lambda address: bool(useful_public_addresses((address,))),
        )
        services.remember(self._remembered)
        if self._announced is not None:
            services.announce(self._announced)
        services.start()
        return services

    def _leave(self, services: Services) -> None:
        task = asyncio.ensure_future(services.stop())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _hear(self, name: str, report: Report) -> None:
        match report:
            case Publish():
                self._troubles.pop(name, None)
                self._join_all()
                self._hear_members()
            case SeenAt():
                self._hear_address()
            case Tell(text, is_problem):
                if is_problem:
                    self._troubles[name] = text.removeprefix(f"discovery service {name}: ")
                self._tell(text, is_problem)

    def _join_all(self) -> None:
        raw = [services.raw for services in self._services.values()]
        self.heard = {raw_id: one for service in raw for raw_id, one in service.items()}
        self.affiliates = merged_affiliates({**self.heard, **self.static})

    def _facts(self, service: DiscoveryService, services: Services, now: float) -> ServiceFacts:
        trouble = self._troubles.get(service.name, "")
        if services.is_heard:
            self._down_since.pop(service.name, None)
        else:
            self._down_since.setdefault(service.name, now)
        return ServiceFacts(
            service.name,
            service.target,
            len(services.raw),
            services.heard_at,
            self._down_since.get(service.name),
            trouble,
            FailureReason.EXHAUSTED.value in trouble,
        )
