"""Endpoints of others are told one at a time, of those only whom the service knows."""

from __future__ import annotations

from kubespan.discovery.client.effects import FailureReason
from kubespan.discovery.client.harvest import Harvest
from kubespan.discovery.record import AffiliateRecord


def everybody(_: str) -> bool:
    return True


def harvest_of(*ids: str, now: float = 0.0) -> Harvest:
    harvest = Harvest(lambda: 0.5)
    harvest.set_endpoints({id_: (id_.encode(),) for id_ in ids}, now)
    harvest.begin(now)
    return harvest


def drain(harvest: Harvest, until: float) -> list[tuple[float, str]]:
    """Send what is due until then, each acknowledged at once; return when and of whom."""
    sent = []
    while (at := harvest.next_timeout) is not None and at <= until:
        record = harvest.take(at, everybody)
        if record is not None:
            assert record == AffiliateRecord(record.id, b"", (record.id.encode(),))
            sent.append((at, record.id))
            harvest.acknowledge(at)
    return sent


def test_one_at_a_time() -> None:
    harvest = harvest_of("a", "b", "c")
    assert harvest.take(0.0, everybody) == AffiliateRecord("a", b"", (b"a",))
    assert harvest.next_timeout is None
    assert harvest.take(100.0, everybody) is None
    harvest.acknowledge(0.2)
    assert drain(harvest, 100.0) == [(1.0, "b"), (2.0, "c")]


def test_many_are_told_within_one_refresh() -> None:
    ids = [f"{number:04}" for number in range(1_023)]
    sent = drain(harvest_of(*ids), 500.0)
    assert sorted(id_ for _, id_ in sent) == ids


def test_told_again_in_time() -> None:
    assert drain(harvest_of("a"), 2_000.0) == [(0.0, "a"), (855.0, "a"), (1_710.0, "a")]


def test_only_what_differs_is_told_at_once() -> None:
    harvest = harvest_of("a", "b")
    drain(harvest, 10.0)
    harvest.set_endpoints({"a": (b"a",), "c": (b"c",)}, 20.0)
    assert drain(harvest, 100.0) == [(20.0, "c")]
    assert {id_ for _, id_ in drain(harvest, 2_000.0)} == {"a", "c"}


def test_who_is_not_there_is_left_alone_for_a_while() -> None:
    harvest = harvest_of("a", "b")
    assert harvest.take(0.0, lambda id_: id_ == "b") == AffiliateRecord("b", b"", (b"b",))
    harvest.acknowledge(0.0)
    assert harvest.next_timeout == 60.0
    harvest = harvest_of("a")
    assert harvest.take(0.0, lambda _: False) is None
    assert harvest.next_timeout == 60.0


def test_what_changes_on_the_way_is_told_again() -> None:
    harvest = harvest_of("a")
    harvest.take(0.0, everybody)
    harvest.set_endpoints({"a": (b"other",)}, 0.5)
    harvest.acknowledge(0.6)
    assert harvest.take(2.0, everybody) == AffiliateRecord("a", b"", (b"other",))


def test_what_failed_is_tried_again_later() -> None:
    harvest = harvest_of("a")
    harvest.take(0.0, everybody)
    harvest.fail(FailureReason.UNREACHABLE, 1.0)
    assert harvest.next_timeout == 60.0


def test_full_record_is_left_to_rest() -> None:
    harvest = harvest_of("a")
    harvest.take(0.0, everybody)
    harvest.fail(FailureReason.EXHAUSTED, 1.0)
    assert harvest.next_timeout == 856.0


def test_late_answers_change_nothing() -> None:
    harvest = harvest_of("a")
    harvest.take(0.0, everybody)
    harvest.set_endpoints({}, 0.5)
    harvest.fail(FailureReason.EXHAUSTED, 1.0)
    assert harvest.next_timeout is None
    harvest.acknowledge(1.0)
    harvest.fail(FailureReason.UNREACHABLE, 1.0)
    assert harvest.next_timeout is None


def test_new_conversation_tells_all_again() -> None:
    harvest = harvest_of("a", "b")
    harvest.take(0.0, everybody)
    harvest.end()
    assert harvest.next_timeout is None
    harvest.begin(5.0)
    assert drain(harvest, 10.0) == [(5.0, "a"), (6.0, "b")]
