"""The store: versions, owners, namespaces, watchers, and any history against a naive model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.model.errors import InternalError
from kubespan.model.resources import Affiliate
from kubespan.store.kind import (
    AFFILIATES,
    LOCAL_AFFILIATE,
    MEMBERS,
    MERGED_AFFILIATES,
    SERVICE_AFFILIATES,
)
from kubespan.store.resource import Event, EventType, Resource
from kubespan.store.store import Store
from kubespan.store.watch import Batch

CLUSTER_RAW = "cluster-raw"


def versions(store: Store, namespace: str = "") -> dict[str, int]:
    return {one.id: one.version for one in store.list(AFFILIATES, namespace)}


def test_versions_count_changes_only() -> None:
    store = Store()
    (created,) = store.publish(MERGED_AFFILIATES, {"a": Affiliate("one")}, 10)
    assert store.publish(MERGED_AFFILIATES, {"a": Affiliate("one")}, 20) == ()
    (updated,) = store.publish(MERGED_AFFILIATES, {"a": "two"}, 30)
    now = Resource(AFFILIATES, "cluster", "a", 2, "cluster.AffiliateMergeController", 10, 30, "two")
    assert store.get(AFFILIATES, "a") == now
    assert (created.type, updated) == (
        EventType.CREATED,
        Event(EventType.UPDATED, now, created.resource),
    )
    (destroyed,) = store.publish(MERGED_AFFILIATES, {}, 40)
    assert destroyed == Event(EventType.DESTROYED, now)
    store.publish(MERGED_AFFILIATES, {"a": "three"}, 50)
    assert versions(store) == {"a": 1}


def test_lists_are_in_order() -> None:
    store = Store()
    store.publish(MERGED_AFFILIATES, {"b": 1, "B": 2, "a": 3}, 0)
    assert [one.id for one in store.list(AFFILIATES)] == ["B", "a", "b"]


def test_owners_do_not_touch_what_is_others() -> None:
    store = Store()
    store.publish(LOCAL_AFFILIATE, {"self": 1}, 0)
    store.publish(MERGED_AFFILIATES, {"a": 1}, 0)
    with pytest.raises(InternalError, match=r"MergeController writes self, which .*Local"):
        store.publish(MERGED_AFFILIATES, {"b": 1, "self": 2}, 0)
    assert versions(store) == {"a": 1, "self": 1}
    store.publish(MERGED_AFFILIATES, {}, 0)
    assert versions(store) == {"self": 1}


def test_namespaces_are_apart() -> None:
    store = Store()
    store.publish(SERVICE_AFFILIATES, {"service/a": 1}, 0)
    assert versions(store) == {}
    assert versions(store, CLUSTER_RAW) == {"service/a": 1}
    assert store.get(AFFILIATES, "service/a") is None
    assert store.get(AFFILIATES, "service/a", CLUSTER_RAW) is not None
    assert (store.list(MEMBERS), store.get(MEMBERS, "a")) == ((), None)


def told(*batches: tuple[Event, ...]) -> list[tuple[str, str]]:
    return [(event.type.value, event.resource.id) for batch in batches for event in batch]


def test_watchers_are_told_what_they_asked_for() -> None:
    store = Store()
    rung: list[str] = []
    every = store.watch(AFFILIATES, wake=lambda: rung.append("every"))
    store.publish(MERGED_AFFILIATES, {"a": 1, "b": 1}, 0)
    one = store.watch(AFFILIATES, "a", wake=lambda: rung.append("one"))
    none = store.watch(AFFILIATES, "c")
    assert told(every.take().events) == [("created", "a"), ("created", "b")]
    assert told(one.take().events) == [("created", "a")]
    assert none.take().events == ()
    store.publish(MERGED_AFFILIATES, {"b": 2}, 0)
    assert told(every.take().events) == [("destroyed", "a"), ("updated", "b")]
    assert told(one.take().events) == [("destroyed", "a")]
    assert rung == ["every", "one"]


def test_one_who_left_is_not_told() -> None:
    store = Store()
    watch = store.watch(AFFILIATES)
    watch.take()
    watch.close()
    watch.close()
    store.publish(MERGED_AFFILIATES, {"a": 1}, 0)
    assert watch.take().events == ()


def test_questions_leave_nothing_behind() -> None:
    store = Store()
    watch = store.watch(AFFILIATES, namespace="made-up")
    store.list(AFFILIATES, "made-up")
    watch.close()
    assert store._shelves == {}
    store.publish(MERGED_AFFILIATES, {"a": 1}, 0)
    store.watch(AFFILIATES).close()
    assert versions(store) == {"a": 1}


wanted = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 2))
moves = st.lists(st.tuples(st.sampled_from(["publish", "take", "leave"]), wanted), max_size=30)


@given(moves=moves, capacity=st.integers(1, 6))
def test_any_history_agrees_with_a_naive_model(
    moves: list[tuple[str, dict[str, int]]], capacity: int
) -> None:
    store, model, seen = Store(), dict[str, tuple[int, int]](), dict[str, tuple[int, int]]()
    watch = store.watch(AFFILIATES, capacity=capacity)
    for move, specs in moves:
        if move == "publish":
            store.publish(MERGED_AFFILIATES, specs, 0)
            model = {id_: after(model.get(id_), spec) for id_, spec in specs.items()}
        elif move == "take":
            follow(seen, watch.take())
            assert seen == model
        else:
            watch.close()
            watch, seen = store.watch(AFFILIATES, capacity=capacity), {}
        assert {one.id: (one.version, one.spec) for one in store.list(AFFILIATES)} == model
        assert len(watch._waiting or ()) <= capacity


def after(known: tuple[int, int] | None, spec: int) -> tuple[int, int]:
    """The version and spec of the naive model after one writing."""
    if known is None:
        return 1, spec
    return (known[0] + (known[1] != spec), spec)


def follow(seen: dict[str, tuple[int, int]], batch: Batch) -> None:
    """Do to a reader's picture what the watcher says."""
    if batch.is_anew:
        seen.clear()
    for event in batch.events:
        if event.type is EventType.DESTROYED:
            del seen[event.resource.id]
        else:
            seen[event.resource.id] = (event.resource.version, event.resource.spec)
