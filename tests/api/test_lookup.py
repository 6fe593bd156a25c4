"""From words to things: what is found, and what is said where nothing or too much is."""

from __future__ import annotations

import pytest

from kubespan.api.lookup import find_kind, find_peer, find_resource
from kubespan.api.refusal import Reason, Refused
from kubespan.model.resources import KubeSpanPeerSpec
from kubespan.store.kind import AFFILIATES, PEER_SPECS
from kubespan.store.store import Store
from tests.api.nodes import FakeNode, key


def test_kinds() -> None:
    assert find_kind("Affiliates") is AFFILIATES
    with pytest.raises(Refused, match="resource type 'ksps' is ambiguous: it is ") as caught:
        find_kind("ksps")
    assert str(caught.value).endswith(
        "KubeSpanPeerSpecs.kubespan.talos.dev and KubeSpanPeerStatuses.kubespan.talos.dev"
    )
    with pytest.raises(Refused, match="there is no resource type 'pods'; there are aff") as caught:
        find_kind("pods")
    assert caught.value.reason is Reason.WRONG


def test_resources() -> None:
    store = FakeNode().store
    assert find_resource(store, AFFILIATES, "node-0001", "").spec.nodename == "worker-1"
    raw = find_resource(store, AFFILIATES, "service/node-0001", "cluster-raw")
    assert raw.owner == "cluster.DiscoveryServiceController"
    with pytest.raises(Refused, match=r"cluster\.talos\.dev\(cluster/x\)") as caught:
        find_resource(store, AFFILIATES, "x", "")
    assert caught.value.reason is Reason.CONDITION


@pytest.mark.parametrize("word", ["worker-1", key(1).base64(), "fd50:8d60:4238:6302:a00::1"])
def test_peers(word: str) -> None:
    assert find_peer(FakeNode().store, word).public_key == key(1)


def test_peers_that_are_not_one() -> None:
    store = Store()
    twins = {str(n): KubeSpanPeerSpec(key(n), None, label="twin") for n in (1, 2)}
    store.publish(PEER_SPECS, twins, 0)
    with pytest.raises(Refused, match="2 peers are called 'twin'; give a key"):
        find_peer(store, "twin")
    with pytest.raises(Refused, match="there is no peer 'x'; "):
        find_peer(store, "x")
