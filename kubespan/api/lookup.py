"""From a word to what it means here: a kind of resource, or a peer."""

from __future__ import annotations

from kubespan.api.refusal import Reason, Refused
from kubespan.model.resources import KubeSpanPeerSpec
from kubespan.store.kind import KINDS, KUBESPAN_PEER_SPECS, Kind, kinds_named
from kubespan.store.resource import Resource
from kubespan.store.store import Store


def find_kind(word: str) -> Kind:
    """Return the kind that answers to a word. Raises Refused."""
    found = kinds_named(word)
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(kind.name for kind in found)
        raise Refused(Reason.WRONG, f"resource type {word!r} is ambiguous: it is {names}")
    known = ", ".join(sorted(kind.plural.lower() for kind in KINDS))
    raise Refused(Reason.WRONG, f"there is no resource type {word!r}; there are {known}")


def find_resource(store: Store, kind: Kind, id_: str, namespace: str) -> Resource:
    """Return the resource of a kind with this id. Raises Refused."""
    resource = store.get(kind, id_, namespace)
    if resource is None:
        place = f"{namespace or kind.namespace}/{id_}"
        raise Refused(Reason.CONDITION, f"there is no resource {kind.name}({place})")
    return resource


def find_peer(store: Store, word: str) -> KubeSpanPeerSpec:
    """Return the peer with this label, key or address in the mesh. Raises Refused."""
    found = [
        resource.spec
        for resource in store.list(KUBESPAN_PEER_SPECS)
        if word in (resource.id, resource.spec.label, str(resource.spec.address))
    ]
    match found:
        case [KubeSpanPeerSpec() as peer]:
            return peer
        case []:
            raise Refused(
                Reason.CONDITION,
                f"there is no peer {word!r}; `kubespan get kubespanpeerspecs` lists them",
            )
        case _:
            raise Refused(Reason.WRONG, f"{len(found)} peers are called {word!r}; give a key")
