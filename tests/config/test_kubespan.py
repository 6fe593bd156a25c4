"""KubeSpan's settings in both generations: every key, every check, with its place."""

from __future__ import annotations

from textwrap import indent

import pytest

from kubespan.model.address import Endpoint, Prefix
from kubespan.model.config import KubeSpanConfig
from tests.config.reading import CLUSTER_ID, IDENTITY, SECRET, SERVICE, config, mistakes, places

HEAD = "apiVersion: v1alpha1\nkind: KubeSpanConfig\n"
LEGACY = "machine:\n  network:\n    kubespan:\n"
LEGACY_CLUSTER = f"cluster: {{id: {CLUSTER_ID}, secret: {SECRET}, discovery: {{enabled: true}}}}\n"

ALL = """\
enabled: true
advertiseKubernetesNetworks: true
allowDownPeerBypass: true
harvestExtraEndpoints: true
mtu: 1280
filters:
  endpoints: ["0.0.0.0/0", "!192.168.0.0/16", "::1"]
  peerEndpoints: ["!10.0.0.0/8"]
  excludeAdvertisedNetworks: [192.168.1.0/24, "2003::/16"]
"""

MEANT = KubeSpanConfig(
    enabled=True,
    advertise_kubernetes_networks=True,
    force_routing=False,
    harvest_extra_endpoints=True,
    mtu=1280,
    endpoint_filters=("0.0.0.0/0", "!192.168.0.0/16", "::1"),
    peer_endpoint_filters=("!10.0.0.0/8",),
    exclude_advertised_networks=(Prefix.parse("192.168.1.0/24"), Prefix.parse("2003::/16")),
)


def document(keys: str) -> str:
    return HEAD + keys


def legacy(keys: str) -> str:
    return LEGACY + indent(keys, " " * 6) + LEGACY_CLUSTER


def both(keys: str) -> list[str]:
    return [document(keys) + IDENTITY + SERVICE, legacy(keys)]


@pytest.mark.parametrize("text", both(ALL))
def test_every_key(text: str) -> None:
    assert config(text).kubespan == MEANT


@pytest.mark.parametrize("text", both("enabled: false\n"))
def test_defaults(text: str) -> None:
    assert config(text).kubespan == KubeSpanConfig(False, False, True, False, None, None, None)
    assert config(text).kubespan.effective_mtu == 1420


@pytest.mark.parametrize("text", both("enabled: true\nmtu:\nfilters:\n"))
def test_null_is_as_if_it_were_not_there(text: str) -> None:
    assert config(text).kubespan == KubeSpanConfig(enabled=True)


@pytest.mark.parametrize("text", both("enabled: true\nfilters: {endpoints: [], peerEndpoints: }\n"))
def test_an_empty_filter_is_not_the_same_as_none(text: str) -> None:
    kubespan = config(text).kubespan
    assert kubespan.endpoint_filters == ()
    assert kubespan.peer_endpoint_filters is None


def test_an_mtu_of_0_means_nothing_in_the_single_document_only() -> None:
    assert config(legacy("enabled: true\nmtu: 0\n")).kubespan.mtu is None
    assert places(document("mtu: 0\n")) == ["3:6: KubeSpanConfig.mtu"]


BAD = """\
enabled: true
mtu: 1279
filters:
  endpoints: [0.0.0.0/0, "!x", 1.2.3]
  peerEndpoints: ["!!::1"]
  excludeAdvertisedNetworks: [192.168.1.0/24, 10.0.0.1, 10.0.0.0/33]
"""


@pytest.mark.parametrize(
    ("text", "path", "line", "column"),
    [
        (document(BAD) + IDENTITY + SERVICE, "KubeSpanConfig", 3, 0),
        (legacy(BAD), "machine.network.kubespan", 4, 6),
    ],
)
def test_every_mistake_at_once(text: str, path: str, line: int, column: int) -> None:
    found = mistakes(text)
    assert [": ".join(one.split(": ")[:2]) for one in found] == [
        f"{line + 1}:{column + 6}: {path}.mtu",
        f"{line + 3}:{column + 26}: {path}.filters.endpoints[1]",
        f"{line + 3}:{column + 32}: {path}.filters.endpoints[2]",
        f"{line + 4}:{column + 19}: {path}.filters.peerEndpoints[0]",
        f"{line + 5}:{column + 47}: {path}.filters.excludeAdvertisedNetworks[1]",
        f"{line + 5}:{column + 57}: {path}.filters.excludeAdvertisedNetworks[2]",
    ]
    assert "at least 1280" in found[0]
    assert "'x' is not an endpoint filter" in found[1]
    assert "'!::1' is not an endpoint filter" in found[3]
    assert "write 10.0.0.1/32 for that one address" in found[4]
    assert "'10.0.0.0/33' is not a prefix" in found[5]


def test_what_is_disabled_is_checked_in_the_newer_document_only() -> None:
    text = BAD.replace("true", "false")
    assert len(mistakes(document(text))) == 6
    assert config(legacy(text)).kubespan == KubeSpanConfig()


def test_an_mtu_has_an_upper_bound() -> None:
    assert places(document("mtu: 65536\n")) == ["3:6: KubeSpanConfig.mtu"]
    assert config(document("mtu: 65535\n")).kubespan.mtu == 65535


@pytest.mark.parametrize("kind", ["KubeSpanEndpointsConfig", "KubespanEndpointsConfig"])
def test_extra_endpoints(kind: str) -> None:
    text = f"""\
    apiVersion: v1alpha1
    kind: {kind}
    extraAnnouncedEndpoints:
      - 192.0.2.1:51820
      - "[2001:db8::1]:1"
    """
    assert config(text).kubespan.extra_announced_endpoints == (
        Endpoint.parse("192.0.2.1:51820"),
        Endpoint.parse("[2001:db8::1]:1"),
    )


def test_wrong_extra_endpoints() -> None:
    found = mistakes("""\
    apiVersion: v1alpha1
    kind: KubespanEndpointsConfig
    extraAnnouncedEndpoints: [192.0.2.1, "192.0.2.1:0", "host:1", []]
    """)
    path = "KubeSpanEndpointsConfig.extraAnnouncedEndpoints"
    assert [": ".join(one.split(": ")[:2]) for one in found] == [
        f"3:27: {path}[0]",
        f"3:38: {path}[1]",
        f"3:53: {path}[2]",
        f"3:63: {path}[3]",
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("[fe80::1%3]:51820", "[fe80::1]:1", "169.254.0.1:1", "127.0.0.1:1", "[::1]:1"),
        *("0.0.0.0:1", "[::]:1", "224.0.0.1:1", "[ff02::1]:1", "255.255.255.255:1"),
    ],
)
def test_what_could_never_be_announced_is_a_mistake(text: str) -> None:
    (found,) = mistakes(f"""\
    apiVersion: v1alpha1
    kind: KubespanEndpointsConfig
    extraAnnouncedEndpoints: ["{text}"]
    """)
    assert found == (
        f"3:27: KubeSpanEndpointsConfig.extraAnnouncedEndpoints[0]: {text!r} means nothing to other"
        " hosts; write where they reach this one, such as 203.0.113.7:51820"
    )
