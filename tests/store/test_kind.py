"""Kinds and the words they answer to, as talosctl has them."""

from __future__ import annotations

import pytest

from kubespan.store import kind
from kubespan.store.kind import KINDS, Kind, Output, kinds_named

NAMES = [
    ("KubeSpanConfigs.kubespan.talos.dev", "config", "KubeSpanConfig", "ksc kscs"),
    ("KubeSpanIdentities.kubespan.talos.dev", "kubespan", "KubeSpanIdentity", "ksi ksis"),
    ("KubeSpanPeerSpecs.kubespan.talos.dev", "kubespan", "KubeSpanPeerSpec", "ksps"),
    ("KubeSpanPeerStatuses.kubespan.talos.dev", "kubespan", "KubeSpanPeerStatus", "ksps"),
    ("KubeSpanEndpoints.kubespan.talos.dev", "kubespan", "KubeSpanEndpoint", "kse kses"),
    ("DiscoveryConfigs.cluster.talos.dev", "config", "DiscoveryConfig", "dc dcs"),
    ("Identities.cluster.talos.dev", "cluster", "Identity", ""),
    ("Affiliates.cluster.talos.dev", "cluster", "Affiliate", ""),
    ("Members.cluster.talos.dev", "cluster", "Member", ""),
    ("Infos.cluster.talos.dev", "cluster", "Info", ""),
]


def test_kinds_are_talos_s() -> None:
    assert [(one.name, one.namespace, one.singular, " ".join(one.aliases)) for one in KINDS] == (
        NAMES
    )


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("affiliates", ["Affiliates"]),
        ("AFFILIATES.cluster", ["Affiliates"]),
        ("affiliates.cluster.talos", ["Affiliates"]),
        ("Affiliates.cluster.talos.dev", ["Affiliates"]),
        ("affiliate", ["Affiliates"]),
        ("affiliate.cluster", []),
        ("affiliates.", []),
        ("identities", ["Identities"]),
        ("kubespanpeerstatus", ["KubeSpanPeerStatuses"]),
        ("ksi", ["KubeSpanIdentities"]),
        ("KSPS", ["KubeSpanPeerSpecs", "KubeSpanPeerStatuses"]),
        ("pods", []),
        ("", []),
    ],
)
def test_what_a_word_names(word: str, names: list[str]) -> None:
    assert [one.plural for one in kinds_named(word)] == names


def test_only_one_alias_is_ambiguous() -> None:
    words = {word for one in KINDS for word in one.names}
    assert [word for word in sorted(words) if len(kinds_named(word)) > 1] == ["ksps"]


def test_what_holds_a_secret_is_known() -> None:
    assert [one.plural for one in KINDS if one.is_sensitive] == [
        "KubeSpanConfigs",
        "KubeSpanIdentities",
        "DiscoveryConfigs",
    ]


def test_every_kind_is_written_by_somebody_and_by_nobody_twice() -> None:
    outputs = [one for one in vars(kind).values() if isinstance(one, Output)]
    assert {one.kind for one in outputs} == set(KINDS)
    assert len({(one.kind, one.owner, one.place) for one in outputs}) == len(outputs)


def test_raw_affiliates_are_elsewhere() -> None:
    assert (kind.SERVICE_AFFILIATES.place, kind.MERGED_AFFILIATES.place) == (
        "cluster-raw",
        "cluster",
    )


def test_kinds_are_told_apart_by_identity() -> None:
    assert Kind("A", "a", "g", "n") != Kind("A", "a", "g", "n")
