"""Affiliates as Talos's tools show them: their fields, and what happened to them.

Pure: values in, values out. Talos `pkg/machinery/resources/cluster` for the names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from kubespan.model.resources import Affiliate, KubeSpanAffiliate

NAMESPACE: Final = "cluster"
TYPE: Final = "Affiliates.cluster.talos.dev"


class Event(Enum):
    """What has happened to an affiliate."""

    CREATED = "created"
    UPDATED = "updated"
    DESTROYED = "destroyed"


@dataclass(frozen=True, slots=True)
class Shown:
    """An affiliate, and what happened to it so far."""

    affiliate: Affiliate
    version: int
    """Of what is known of it: 1, and one more for each change."""

    created: str
    """When it was first seen: RFC 3339."""

    updated: str

    @property
    def id(self) -> str:
        """Of the node."""
        return self.affiliate.node_id


class Chronicle:
    """Everybody who was seen and is not gone."""

    def __init__(self) -> None:
        self._shown: dict[str, Shown] = {}

    def follow(self, affiliates: Iterable[Affiliate], at: str) -> list[tuple[Event, Shown]]:
        """These are all there are, at that time; return what happened since, by id."""
        present = {affiliate.node_id: affiliate for affiliate in affiliates}
        events = [(Event.DESTROYED, self._shown.pop(id_)) for id_ in self._shown.keys() - present]
        for id_, affiliate in present.items():
            before = self._shown.get(id_)
            if before is None:
                shown = Shown(affiliate, 1, at, at)
                events.append((Event.CREATED, shown))
            elif before.affiliate != affiliate:
                shown = Shown(affiliate, before.version + 1, before.created, at)
                events.append((Event.UPDATED, shown))
            else:
                continue
            self._shown[id_] = shown
        return sorted(events, key=lambda event: event[1].id)


def document(shown: Shown, event: Event | None) -> dict[str, Any]:
    """Return what is shown of an affiliate; an event only where there is one to tell."""
    metadata = {
        "namespace": NAMESPACE,
        "type": TYPE,
        "id": shown.id,
        "version": shown.version,
        "phase": "running",
        "created": shown.created,
        "updated": shown.updated,
    }
    told = {} if event is None else {"event": event.value}
    return {**told, "metadata": metadata, "spec": spec(shown.affiliate)}


def spec(affiliate: Affiliate) -> dict[str, Any]:
    """Return an affiliate's fields under Talos's names, in Talos's order."""
    fields: dict[str, Any] = {
        "nodeId": affiliate.node_id,
        "addresses": [str(address) for address in affiliate.addresses],
        "hostname": affiliate.hostname,
        "nodename": affiliate.nodename,
        "operatingSystem": affiliate.operating_system,
        "machineType": affiliate.machine_type.value,
    }
    if affiliate.kubespan is not None:
        fields["kubespan"] = _kubespan(affiliate.kubespan)
    if affiliate.control_plane is not None:
        fields["controlPlane"] = {"port": affiliate.control_plane.port}
    return fields


def _kubespan(kubespan: KubeSpanAffiliate) -> dict[str, Any]:
    return {
        "publicKey": kubespan.public_key.base64(),
        "address": "" if kubespan.address is None else str(kubespan.address),
        "additionalAddresses": [str(prefix) for prefix in kubespan.additional_addresses],
        "endpoints": [str(endpoint) for endpoint in kubespan.endpoints],
        "excludeAdvertisedNetworks": [
            str(prefix) for prefix in kubespan.exclude_advertised_networks
        ],
    }
