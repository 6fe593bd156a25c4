"""All discovery services of a configuration at once: told the same, each heard for itself.

Seals what is said and opens what is heard, with the cluster's secret. What several services say of
one member is joined elsewhere: here it stays apart, under raw ids that name the service.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final

from grpc import aio

from kubespan.discovery.client.authorities import Authorities
from kubespan.discovery.client.channel import open_channel
from kubespan.discovery.client.client import Client, Report
from kubespan.discovery.client.membership import Membership, Phase
from kubespan.discovery.opening import Opened, open_record, seal_endpoints, seal_record
from kubespan.discovery.record import AffiliateRecord
from kubespan.discovery.seal import NONCE_SIZE
from kubespan.model.address import Endpoint, IPAddress
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import DiscoveryService
from kubespan.model.resources import Affiliate

RAW_PREFIX: Final = "service/"
"""What raw ids of a service's members begin with. Talos has it, too."""


class Services:
    """The clients of one node in one cluster; `start` and `stop` them once, on an event loop.

    `hear` is called with a service's name and what it reports, on the event loop.
    """

    def __init__(
        self,
        services: Sequence[DiscoveryService],
        cluster_id: str,
        secret: ClusterSecret,
        node_id: str,
        hear: Callable[[str, Report], None],
        *,
        authorities: Authorities,
        is_useful: Callable[[IPAddress], bool],
    ) -> None:
        self._secret = secret
        self._announced: Affiliate | None = None
        self._clients = {
            service.name: Client(
                Membership(
                    service.name, service.target, node_id, self._open, random.random, is_useful
                ),
                cluster_id,
                node_id,
                partial(_dial, insecure=service.insecure, authorities=authorities),
                partial(hear, service.name),
            )
            for service in services
        }

    def start(self) -> None:
        """Begin the conversation with each."""
        for client in self._clients.values():
            client.start()

    async def stop(self) -> None:
        """Withdraw from each what was announced; takes a few seconds at most."""
        await asyncio.gather(*(client.stop() for client in self._clients.values()))

    @property
    def raw(self) -> dict[str, Affiliate]:
        """Everybody whom any of them knows, by raw id: `service/NAME/ID`."""
        return {
            f"{RAW_PREFIX}{name}/{id_}": affiliate
            for name, client in self._clients.items()
            for id_, affiliate in client.membership.members.items()
        }

    @property
    def is_heard(self) -> bool:
        """Whether one of them tells us right now who is there."""
        memberships = (client.membership for client in self._clients.values())
        return any(membership.phase is Phase.WATCHING for membership in memberships)

    @property
    def heard_at(self) -> float | None:
        """When one of them last told anything about members: seconds since boot, None for never."""
        heard = (client.membership.heard_at for client in self._clients.values())
        return max((at for at in heard if at is not None), default=None)

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """Where we are seen from outside: at most one address a family, IPv4 first."""
        seen: dict[int, IPAddress] = {}
        for client in self._clients.values():
            seen = {**client.membership.addresses, **seen}
        return tuple(address for _, address in sorted(seen.items()))

    def announce(self, affiliate: Affiliate) -> int:
        """Register as this; the same again changes nothing. Return how many endpoints cannot be.

        Raises BlobRefused if the affiliate cannot be sent at all; nothing changes then.
        """
        if affiliate == self._announced:
            return 0
        sealed = seal_record(self._secret.raw, affiliate, os.urandom(NONCE_SIZE))
        self._announced = affiliate
        for client in self._clients.values():
            client.set_record(sealed.data, sealed.endpoints)
        return len(sealed.refusals)

    def set_harvest(self, endpoints: Mapping[str, Sequence[Endpoint]]) -> None:
        """Tell where others were reached, by id."""
        sealed = {
            id_: seal_endpoints(self._secret.raw, found)[0] for id_, found in endpoints.items()
        }
        for client in self._clients.values():
            client.set_harvest(sealed)

    def set_live(self, ids: AbstractSet[str]) -> None:
        """To these members our tunnel is up."""
        for client in self._clients.values():
            client.set_live(ids)

    def redial(self) -> None:
        """Begin every conversation anew: the host has lost an address."""
        for client in self._clients.values():
            client.redial()

    def remember(self, members: Mapping[str, Affiliate]) -> None:
        """Take these, by id, for members of each until the services tell better."""
        for client in self._clients.values():
            client.remember(members)

    def _open(self, record: AffiliateRecord) -> Opened:
        return open_record(self._secret.raw, record.id, record.data, record.endpoints)


def _dial(target: str, *, insecure: bool, authorities: Authorities) -> aio.Channel:
    pem = None if insecure else authorities.read()
    return open_channel(target, insecure=insecure, authorities=pem)
