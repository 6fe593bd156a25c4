"""What the configuration says about KubeSpan itself; the same keys in both generations.

Talos: `machine.network.kubespan` of the single document; KubeSpanConfig, KubeSpanEndpointsConfig.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final

from pydantic import BeforeValidator

from kubespan.config.scalar import Flag, Number, Texts, absent_if_null
from kubespan.config.section import Section
from kubespan.config.tree import View
from kubespan.config.value import parse_endpoint, read_all
from kubespan.mesh.filter import EndpointFilter
from kubespan.mesh.local import means_one_host_everywhere
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.config import KubeSpanConfig
from kubespan.model.constants import KUBESPAN_MINIMUM_MTU, KUBESPAN_MTU
from kubespan.model.errors import ConfigError

MAXIMUM_MTU: Final = 65535


class Filters(Section):
    """What to keep out of what is announced and tried. An empty list keeps everything out."""

    endpoints: Texts = None
    peer_endpoints: Texts = None
    exclude_advertised_networks: Texts = None


class KubeSpan(Section):
    """The mesh's settings."""

    enabled: Flag = False
    advertise_kubernetes_networks: Flag = False
    allow_down_peer_bypass: Flag = False
    harvest_extra_endpoints: Flag = False
    mtu: Number = None
    filters: Annotated[Filters | None, BeforeValidator(absent_if_null)] = None


class KubeSpanEndpoints(Section):
    """Endpoints to announce besides those that are found."""

    extra_announced_endpoints: Texts = None


def mean_kubespan(section: KubeSpan, view: View) -> KubeSpanConfig:
    """Return what KubeSpanConfig means; say what is wrong with it."""
    filters = section.filters or Filters()
    below = view.at("filters")
    _check_filter(below.at("endpoints"), filters.endpoints)
    _check_filter(below.at("peerEndpoints"), filters.peer_endpoints)
    networks = below.at("excludeAdvertisedNetworks")
    return replace(
        _switches(section),
        mtu=_mtu(section, view),
        endpoint_filters=filters.endpoints,
        peer_endpoint_filters=filters.peer_endpoints,
        exclude_advertised_networks=read_all(
            networks, filters.exclude_advertised_networks, Prefix.parse
        ),
    )


def mean_legacy_kubespan(section: KubeSpan, view: View) -> KubeSpanConfig:
    """Return what the single document means. Only what is enabled is checked, and used."""
    if not section.enabled:
        return _switches(section)
    # A 0 is the same as nothing, here only.
    return mean_kubespan(section.model_copy(update={"mtu": section.mtu or None}), view)


def mean_endpoints(section: KubeSpanEndpoints, view: View) -> tuple[Endpoint, ...]:
    """Return the endpoints to announce besides those that are found; say what is wrong."""
    listed = view.at("extraAnnouncedEndpoints")
    return read_all(listed, section.extra_announced_endpoints, _parse_announced)


def _switches(section: KubeSpan) -> KubeSpanConfig:
    return KubeSpanConfig(
        enabled=section.enabled,
        advertise_kubernetes_networks=section.advertise_kubernetes_networks,
        force_routing=not section.allow_down_peer_bypass,
        harvest_extra_endpoints=section.harvest_extra_endpoints,
    )


def _mtu(section: KubeSpan, view: View) -> int | None:
    if section.mtu is None or KUBESPAN_MINIMUM_MTU <= section.mtu <= MAXIMUM_MTU:
        return section.mtu
    view.at("mtu").mistake(
        f"the MTU is at least {KUBESPAN_MINIMUM_MTU} and at most {MAXIMUM_MTU};"
        f" leave it out for {KUBESPAN_MTU}"
    )
    return None


def _parse_announced(text: str) -> Endpoint:
    endpoint = parse_endpoint(text)
    if means_one_host_everywhere(endpoint):
        return endpoint
    raise ConfigError(
        f"{text!r} means nothing to other hosts; write where they reach this one, such as"
        " 203.0.113.7:51820"
    )


def _check_filter(view: View, items: tuple[str, ...] | None) -> None:
    read_all(view, items, EndpointFilter.parse)
