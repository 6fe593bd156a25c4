"""What Prometheus reads of the server, under the names of the stock service.

Everything is read when it is asked for, from numbers that others keep; nothing is counted here.
Discovery service, as observed, for names and labels; go-grpc-prometheus for those of the calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from kubespan.discovery.method import SERVICE, Method
from kubespan.discovery.server.registry import Registry
from kubespan.discovery.server.storage import Operation, Storage, Tally
from kubespan.discovery.server.tally import HANDLING_BUCKETS, CallTally, ServerTally

CALL_LABELS: Final = ("grpc_type", "grpc_service", "grpc_method")
NOTHING: Final = {operation: Tally() for operation in Operation}


def create_metrics(
    registry: Registry, tally: ServerTally, storage: Storage | None
) -> CollectorRegistry:
    """Return what to serve: the server's numbers, and those of its process."""
    metrics = CollectorRegistry()
    metrics.register(ServerCollector(registry, tally, storage))
    ProcessCollector(registry=metrics)
    return metrics


class ServerCollector(Collector):
    """Reads the server's numbers. Without a storage, what it would count is zero."""

    def __init__(self, registry: Registry, tally: ServerTally, storage: Storage | None) -> None:
        self._registry = registry
        self._tally = tally
        self._storage = storage

    def collect(self) -> Iterator[Metric]:
        """Return everything."""
        yield from self._state()
        yield from self._collections()
        yield _labelled(
            "discovery_server_hello_requests",
            "Hellos, by the version of the client.",
            ("client_version",),
            (((version,), number) for version, number in self._tally.hellos.items()),
        )
        yield from self._keeping()
        yield from self._calls()

    def _state(self) -> Iterator[Metric]:
        counts = self._registry.counts
        for what, number in counts._asdict().items():
            yield GaugeMetricFamily(f"discovery_state_{what}", f"{what.title()} held.", number)

    def _collections(self) -> Iterator[Metric]:
        for what, number, text in (
            ("runs", self._tally.collections, "Collections of what has expired."),
            ("clusters", self._tally.collected_clusters, "Clusters that were dropped."),
            ("affiliates", self._tally.collected_affiliates, "Affiliates that expired."),
        ):
            yield CounterMetricFamily(f"discovery_state_gc_{what}", text, number)

    def _keeping(self) -> Iterator[Metric]:
        tallies = NOTHING if self._storage is None else self._storage.tallies
        size = 0 if self._storage is None else self._storage.size
        yield _labelled(
            "discovery_storage_operations",
            "Saves to disk and loads from it.",
            ("operation", "status"),
            (
                ((operation.value, status), number)
                for operation, tally in tallies.items()
                for status, number in (("success", tally.successes), ("error", tally.errors))
            ),
        )
        yield GaugeMetricFamily(
            "discovery_storage_last_snapshot_size_bytes", "Size of the state on disk.", size
        )
        for what in ("clusters", "affiliates", "endpoints", "duration"):
            yield _last_operation(what, tallies)

    def _calls(self) -> Iterator[Metric]:
        calls = {_labels(method): tally for method, tally in self._tally.calls.items()}
        for what, text in (
            ("started", "Calls that were begun."),
            ("msg_received", "Messages that were received."),
            ("msg_sent", "Messages that were sent."),
        ):
            attribute = what.removeprefix("msg_")
            numbers = ((labels, getattr(tally, attribute)) for labels, tally in calls.items())
            yield _labelled(f"grpc_server_{what}", text, CALL_LABELS, numbers)
        yield _labelled(
            "grpc_server_handled",
            "Calls that have ended, by their status.",
            (*CALL_LABELS, "grpc_code"),
            (
                ((*labels, code), number)
                for labels, tally in calls.items()
                for code, number in tally.handled.items()
            ),
        )
        yield _handling(calls)


def _last_operation(what: str, tallies: dict[Operation, Tally]) -> Metric:
    name = f"discovery_storage_last_operation_{what}" + ("_seconds" if what == "duration" else "")
    gauge = GaugeMetricFamily(name, f"The last operation's {what}.", labels=("operation",))
    for operation, tally in tallies.items():
        gauge.add_metric((operation.value,), getattr(tally, what))
    return gauge


def _handling(calls: dict[tuple[str, str, str], CallTally]) -> Metric:
    histogram = HistogramMetricFamily(
        "grpc_server_handling_seconds", "How long calls took.", labels=CALL_LABELS
    )
    bounds = (*map(str, HANDLING_BUCKETS), "+Inf")
    for labels, tally in calls.items():
        reached = accumulate(tally.handling_buckets)
        histogram.add_metric(
            labels, list(zip(bounds, reached, strict=True)), tally.handling_seconds
        )
    return histogram


def _labels(method: Method) -> tuple[str, str, str]:
    return ("server_stream" if method.is_stream else "unary", SERVICE, method.name)


def _labelled(
    name: str, text: str, labels: tuple[str, ...], numbers: Iterable[tuple[tuple[str, ...], int]]
) -> Metric:
    counter = CounterMetricFamily(name, text, labels=labels)
    for values, number in numbers:
        counter.add_metric(values, number)
    return counter
