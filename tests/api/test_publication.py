"""Publication: who writes what into the store, and what is counted on the way."""

from __future__ import annotations

from kubespan.api.publication import Publication
from kubespan.mesh.reconciler import Facts
from kubespan.store import kind
from kubespan.store.resource import EventType
from kubespan.store.store import Store
from tests.api.nodes import CONFIG, NODE_ID, OURSELVES, FakeNode, key, peer


def written(store: Store, one: kind.Kind, namespace: str = "") -> dict[str, str]:
    return {resource.id: resource.owner for resource in store.list(one, namespace)}


def test_everything_has_its_writer() -> None:
    store = FakeNode(peers=1).store
    manager = "kubespan.ManagerController"
    assert written(store, kind.KUBESPAN_CONFIGS) == {"kubespan": "kubespan.ConfigController"}
    assert written(store, kind.KUBESPAN_IDENTITIES) == {"local": "kubespan.IdentityController"}
    assert written(store, kind.KUBESPAN_PEER_STATUSES) == {key(1).base64(): manager}
    assert written(store, kind.DISCOVERY_CONFIGS) == {"cluster": "cluster.ConfigController"}
    assert written(store, kind.IDENTITIES) == {"local": "cluster.NodeIdentityController"}
    assert written(store, kind.INFOS) == {"current": "cluster.InfoController"}
    assert written(store, kind.MEMBERS) == {"worker-1": "cluster.MemberController"}
    assert written(store, kind.AFFILIATES) == {
        NODE_ID: "cluster.LocalAffiliateController",
        "node-0001": "cluster.AffiliateMergeController",
    }
    assert written(store, kind.KUBESPAN_ENDPOINTS) == {
        key(1).base64(): "kubespan.EndpointController"
    }


def test_we_are_ourselves_however_others_see_us() -> None:
    store = Store()
    publication = Publication(store, NODE_ID)
    publication.publish_affiliates(None, (OURSELVES, peer(1)), 0)
    assert list(written(store, kind.AFFILIATES)) == ["node-0001"]


def test_settings_bump_apart() -> None:
    store = Store()
    publication = Publication(store, NODE_ID)
    publication.publish_config(CONFIG, 0)
    publication.publish_config(CONFIG, 1, "named")
    versions = [
        store.list(one)[0].version
        for one in (kind.KUBESPAN_CONFIGS, kind.DISCOVERY_CONFIGS, kind.INFOS)
    ]
    assert versions == [1, 1, 2]


def test_endpoint_changes_are_counted_and_status_changes_told() -> None:
    node = FakeNode(peers=2)
    assert node.publication.endpoint_changes == 2
    node.look(node.boot + 1)
    assert node.publication.endpoint_changes == 2
    outcome = node.reconciler.reconcile(CONFIG, Facts(), node.boot)
    events = node.publication.publish_outcome(outcome, 0)
    assert [event.type for event in events] == [EventType.DESTROYED] * 2
    assert node.publication.endpoint_changes == 2
