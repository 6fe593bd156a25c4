"""The one document of our own, UserspaceNodeConfig: what Talos has no key for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeVar

from pydantic import BeforeValidator, Field

from kubespan.config.mistake import quote
from kubespan.config.scalar import Number, Text, TextByKey, Texts, read_items
from kubespan.config.section import Section
from kubespan.config.tree import View
from kubespan.config.value import (
    attempt,
    is_domain,
    parse_address,
    parse_domain,
    parse_peer_endpoint,
    read,
    read_all,
)
from kubespan.mesh.peers import are_too_much
from kubespan.model.address import Prefix
from kubespan.model.config import StaticPeer
from kubespan.model.constants import KUBESPAN_LISTEN_PORT
from kubespan.model.errors import ConfigError
from kubespan.model.keys import PublicKey

_Value = TypeVar("_Value")

NAME_FORM: Final = "letters, digits, dots, - and _, at most 63, with a letter or digit at both ends"

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_HOST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
LONGEST_PATH: Final = 4095


class Peer(Section):
    """A peer that needs no discovery."""

    name: Text = ""
    public_key: Text = ""
    address: Text = ""
    endpoints: Texts = None
    allowed_ips: Texts = Field(default=None, alias="allowedIPs")


class OwnDocument(Section):
    """What Talos has no key for."""

    listen_port: Number = None
    node_name: Text = ""
    pod_networks: Texts = None
    cluster_networks: Texts = None
    hostname: Text = ""
    state_directory: Text = ""
    labels: TextByKey = None
    metrics_address: Text = ""
    static_peers: Annotated[tuple[Peer, ...] | None, BeforeValidator(read_items)] = None


def mean_own(section: OwnDocument, view: View) -> dict[str, Any]:
    """Return the fields of NodeConfig that the document sets; say what is wrong with it."""
    means: dict[str, Any] = {
        "listen_port": _mean_port(section, view.at("listenPort")),
        "pod_networks": read_all(view.at("podNetworks"), section.pod_networks, Prefix.parse),
        "cluster_networks": read_all(
            view.at("clusterNetworks"), section.cluster_networks, Prefix.parse
        ),
        "labels": _mean_labels(section.labels or {}, view.at("labels")),
        "static_peers": _mean_peers(section.static_peers or (), view.at("staticPeers")),
    }
    for name, key, text, parser in (
        ("node_name", "nodeName", section.node_name, parse_domain),
        ("hostname", "hostname", section.hostname, _parse_hostname),
        ("state_directory", "stateDirectory", section.state_directory, _parse_directory),
        ("metrics_address", "metricsAddress", section.metrics_address, _parse_listener),
    ):
        means[name] = attempt(view.at(key), text, parser) if text else None
    return {name: value for name, value in means.items() if value is not None}


def _mean_port(section: OwnDocument, view: View) -> int | None:
    if section.listen_port is None or 1 <= section.listen_port <= 65535:
        return section.listen_port
    view.mistake(f"a port is from 1 to 65535; leave it out for {KUBESPAN_LISTEN_PORT}")
    return None


def _mean_labels(labels: Mapping[str, str], view: View) -> Mapping[str, str]:
    for key, value in labels.items():
        prefix, slash, name = key.rpartition("/")
        if not _NAME.fullmatch(name) or (slash and not is_domain(prefix)):
            view.at(key).mistake(
                f"the key of a label is {NAME_FORM}, perhaps with example.com/ before"
            )
        elif value and not _NAME.fullmatch(value):
            view.at(key).mistake(f"the value of a label is {NAME_FORM}")
    return MappingProxyType(dict(labels))


def _mean_peers(peers: tuple[Peer, ...], view: View) -> tuple[StaticPeer, ...]:
    """Return the peers that are right; say what is wrong with the others."""
    seen: dict[object, int] = {}
    means = []
    for index, peer in enumerate(peers):
        place = view.at(index)
        mean = None if place.is_wrong else _mean_peer(peer, place)
        if mean is None:
            continue
        line = place.node.place.line
        for key, value in (("name", mean.name), ("publicKey", mean.public_key)):
            if value in seen:
                place.at(key).mistake(f"the peer in line {seen[value]} has the same; change one")
            seen.setdefault(value, line)
        means.append(mean)
    return tuple(means)


def _mean_peer(peer: Peer, view: View) -> StaticPeer | None:
    if not (peer.address or peer.allowed_ips or view.findings.has_mistake(*view.steps)):
        view.mistake("write its address, or allowedIPs: nothing would be sent to it")
    name = _required(view.at("name"), peer.name, _parse_name)
    public_key = _required(view.at("publicKey"), peer.public_key, PublicKey.from_base64)
    address = read(view.at("address"), peer.address, parse_address) if peer.address else None
    endpoints = read_all(view.at("endpoints"), peer.endpoints, parse_peer_endpoint)
    allowed_ips = read_all(view.at("allowedIPs"), peer.allowed_ips, Prefix.parse)
    if are_too_much(allowed_ips):
        view.at("allowedIPs").mistake(
            "no host has so much of the internet, nor loopback, link-local or multicast networks,"
            " nor those of translators such as 64:ff9b::/96; write its own networks, public ones of"
            " a /16, or a /32 of IPv6, together at most"
        )
    if name is None or public_key is None:
        return None
    return StaticPeer(name, public_key, address, endpoints, allowed_ips)


def _required(view: View, text: str, parser: Callable[[str], _Value]) -> _Value | None:
    if text or view.findings.has_mistake(*view.steps):
        return attempt(view, text, parser) if text else None
    view.mistake("write it; every static peer has one of its own")
    return None


def _parse_name(text: str) -> str:
    if _NAME.fullmatch(text):
        return text
    raise ConfigError(f"{quote(text)} is not a name; it is {NAME_FORM}")


def _parse_hostname(text: str) -> str:
    parse_domain(text.lower())
    return text


def _parse_directory(text: str) -> str:
    if text.startswith("/") and text.isprintable() and len(text) <= LONGEST_PATH:
        return text
    raise ConfigError("write the whole path of a directory, from / on")


def _parse_listener(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not _PORT.fullmatch(port) or int(port) > 65535 or not _is_host(host):
        raise ConfigError("write an address and a port, such as 127.0.0.1:9090 or [::1]:9090")
    return text


def _is_host(text: str) -> bool:
    if not text.startswith("["):
        return _HOST.fullmatch(text) is not None
    try:
        IPv6Address(text[1:-1] if text.endswith("]") else "")
    except ValueError:
        return False
    return True
