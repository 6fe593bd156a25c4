"""The numbers, under the names that dashboards know."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from kubespan.discovery.method import AFFILIATE_UPDATE, HELLO, SERVICE, WATCH
from kubespan.discovery.server.continuity import Moment
from kubespan.discovery.server.journal import Saved
from kubespan.discovery.server.metrics import create_metrics
from kubespan.discovery.server.registry import Registry
from kubespan.discovery.server.storage import Storage, open_storage
from kubespan.discovery.server.tally import ServerTally

STOCK = {
    "discovery_state_clusters": (),
    "discovery_state_affiliates": (),
    "discovery_state_endpoints": (),
    "discovery_state_subscriptions": (),
    "discovery_state_gc_runs_total": (),
    "discovery_state_gc_clusters_total": (),
    "discovery_state_gc_affiliates_total": (),
    "discovery_server_hello_requests_total": ("client_version",),
    "discovery_storage_operations_total": ("operation", "status"),
    "discovery_storage_last_snapshot_size_bytes": (),
    "discovery_storage_last_operation_clusters": ("operation",),
    "discovery_storage_last_operation_affiliates": ("operation",),
    "discovery_storage_last_operation_endpoints": ("operation",),
    "discovery_storage_last_operation_duration_seconds": ("operation",),
    "grpc_server_started_total": ("grpc_method", "grpc_service", "grpc_type"),
    "grpc_server_handled_total": ("grpc_code", "grpc_method", "grpc_service", "grpc_type"),
    "grpc_server_msg_received_total": ("grpc_method", "grpc_service", "grpc_type"),
    "grpc_server_msg_sent_total": ("grpc_method", "grpc_service", "grpc_type"),
    "grpc_server_handling_seconds_bucket": ("grpc_method", "grpc_service", "grpc_type", "le"),
    "grpc_server_handling_seconds_count": ("grpc_method", "grpc_service", "grpc_type"),
    "grpc_server_handling_seconds_sum": ("grpc_method", "grpc_service", "grpc_type"),
}
"""Every name of the specification, and its labels."""

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(
    registry: Registry, tally: ServerTally | None = None, storage: Storage | None = None
) -> Samples:
    """Return all samples, read as Prometheus reads them."""
    text = generate_latest(create_metrics(registry, tally or ServerTally(), storage)).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def call(method: str, kind: str = "unary", **more: str) -> tuple[tuple[str, str], ...]:
    labels = {"grpc_method": method, "grpc_service": SERVICE, "grpc_type": kind, **more}
    return tuple(sorted(labels.items()))


def used() -> ServerTally:
    tally = ServerTally()
    tally.count_hello("v1.14.0")
    hello = tally.calls[HELLO]
    hello.started, hello.received, hello.sent = 4, 3, 2
    for duration in (0.005, 0.2, 9.0):
        hello.finish("OK", duration)
    hello.finish("InvalidArgument", 0.0)
    return tally


def test_names_and_labels_are_the_stock_services() -> None:
    found = {
        name: tuple(label for label, _ in labels)
        for name, labels in scrape(Registry(), used())
        if not name.startswith("process_")
    }
    assert found == STOCK


def test_state_is_read_when_it_is_asked_for() -> None:
    registry = Registry()
    registry.update("c", "a", b"data", (b"e1", b"e2"), 60.0, 0.0)
    registry.update("d", "a", b"data", (), 60.0, 0.0)
    registry.watch("c", 0.0)
    samples = scrape(registry)
    state = {
        what: samples[f"discovery_state_{what}", ()]
        for what in ("clusters", "affiliates", "endpoints", "subscriptions")
    }
    assert state == {"clusters": 2, "affiliates": 2, "endpoints": 2, "subscriptions": 1}


def test_collections_are_counted() -> None:
    tally = ServerTally()
    tally.collections, tally.collected_clusters, tally.collected_affiliates = 3, 2, 1
    samples = scrape(Registry(), tally)
    assert [
        samples[f"discovery_state_gc_{what}_total", ()]
        for what in ("runs", "clusters", "affiliates")
    ] == [3, 2, 1]


def test_calls_are_counted_by_method_and_status() -> None:
    samples = scrape(Registry(), used())
    for what, number in (("started", 4), ("msg_received", 3), ("msg_sent", 2)):
        assert samples[f"grpc_server_{what}_total", call("Hello")] == number
    assert samples["grpc_server_handled_total", call("Hello", grpc_code="OK")] == 3
    assert samples["grpc_server_handled_total", call("Hello", grpc_code="InvalidArgument")] == 1
    for name, kind in ((WATCH.name, "server_stream"), (AFFILIATE_UPDATE.name, "unary")):
        assert samples["grpc_server_started_total", call(name, kind)] == 0


def test_buckets_are_cumulative() -> None:
    samples = scrape(Registry(), used())
    assert {
        bound: samples["grpc_server_handling_seconds_bucket", call("Hello", le=bound)]
        for bound in ("0.01", "0.1", "0.25", "0.5", "1.0", "2.5", "+Inf")
    } == {"0.01": 2, "0.1": 2, "0.25": 3, "0.5": 3, "1.0": 3, "2.5": 3, "+Inf": 4}
    assert samples["grpc_server_handling_seconds_count", call("Hello")] == 4
    assert samples["grpc_server_handling_seconds_sum", call("Hello")] == pytest.approx(9.205)


def test_versions_are_counted() -> None:
    samples = scrape(Registry(), used())
    assert samples["discovery_server_hello_requests_total", (("client_version", "v1.14"),)] == 1


def test_storage_tells_how_it_went(tmp_path: Path) -> None:
    storage = open_storage(tmp_path, lambda: Moment("boot", 1.0, 1.0)).storage
    storage.save({("c", "a"): Saved("c", "a", b"data", 2.0, ((b"e", 2.0),))})
    samples = scrape(Registry(), storage=storage)
    storage.close()
    save = (("operation", "save"),)
    assert samples["discovery_storage_operations_total", (*save, ("status", "success"))] == 1
    assert samples["discovery_storage_operations_total", (*save, ("status", "error"))] == 0
    assert samples["discovery_storage_last_operation_affiliates", save] == 1
    assert samples["discovery_storage_last_operation_endpoints", save] == 1
    assert samples["discovery_storage_last_snapshot_size_bytes", ()] > 0
