"""Nobody is dropped on one word, and no more are kept than a cluster can have."""

from __future__ import annotations

import pytest

from kubespan.discovery.client.effects import Change
from kubespan.discovery.client.members import LIVE_PATIENCE, SNAPSHOT_PATIENCE, Members
from kubespan.discovery.record import AffiliateRecord
from tests.discovery.records import affiliate, open_record, record


@pytest.fixture
def members() -> Members:
    """Those of a cluster of which a snapshot told `a` and `b`."""
    found = Members("me", open_record)
    found.receive_snapshot([record("a"), record("b")], 0.0)
    return found


def hosts(members: Members) -> dict[str, str]:
    return {id_: known.hostname for id_, known in members.members.items()}


def appeared(id_: str, hostname: str = "one") -> Change:
    return Change(id_, affiliate(id_, hostname))


def test_snapshot_tells_everybody_but_us() -> None:
    members = Members("me", open_record)
    told = [record("a"), record("me"), AffiliateRecord("empty", b"", (b"e",)), record("b")]
    assert members.receive_snapshot(told, 0.0) == (appeared("a"), appeared("b"))
    assert len(members) == 2
    assert members.is_present("a")
    assert not members.is_present("empty")


def test_change_replaces(members: Members) -> None:
    assert members.receive_change([record("a", "two")]) == (appeared("a", "two"),)
    assert members.receive_change([record("c")]) == (appeared("c"),)
    assert hosts(members) == {"a": "two", "b": "one", "c": "one"}


def test_same_record_is_not_even_opened(members: Members) -> None:
    assert members.receive_change([record("a")]) == ()
    members.receive_change([record("a", "two", b"bad_port")])
    members.receive_change([record("a", "two", b"bad_port")])
    assert members.refusals == {"bad_port": 1}


def test_equal_content_under_another_seal_is_no_change(members: Members) -> None:
    assert members.receive_change([record("a", "one", b"bad_port")]) == ()


def test_unreadable_record_leaves_what_was_known(members: Members) -> None:
    assert members.receive_change([record("a", "!bad_tag"), record("c", "!bad_tag")]) == ()
    assert hosts(members) == {"a": "one", "b": "one"}
    assert members.refusals == {"bad_tag": 2}
    assert members.receive_snapshot([record("a", "!bad_tag"), record("b")], 1.0) == ()
    assert members.next_timeout is None


# ----------------------------------------------------------------------------------- deletions


def test_deleted_member_stays_until_a_list_confirms_it(members: Members) -> None:
    assert not members.needs_list
    members.receive_deletion(["a", "stranger"])
    assert members.needs_list
    assert not members.is_present("a")
    members.begin_list()
    assert not members.needs_list
    assert members.receive_list([record("b")], 1.0) == (Change("a", None),)
    assert hosts(members) == {"b": "one"}


def test_spurious_deletion_drops_nobody(members: Members) -> None:
    members.receive_deletion(["a"])
    members.begin_list()
    assert members.receive_list([record("a", "two"), record("b", "stale")], 1.0) == (
        appeared("a", "two"),
    )
    assert hosts(members) == {"a": "two", "b": "one"}
    assert members.is_present("a")


def test_member_that_comes_back_is_not_doubted_any_more(members: Members) -> None:
    members.receive_deletion(["a"])
    members.begin_list()
    members.receive_change([record("a", "two")])
    assert members.receive_list([], 1.0) == ()
    assert hosts(members)["a"] == "two"


def test_list_asked_before_a_deletion_does_not_count(members: Members) -> None:
    members.receive_deletion(["b"])
    members.begin_list()
    members.receive_deletion(["a"])
    assert members.receive_list([record("a"), record("b")], 1.0) == ()
    assert members.needs_list
    members.begin_list()
    assert members.receive_list([], 2.0) == (Change("a", None),)


def test_deleted_live_member_gets_one_refresh_interval(members: Members) -> None:
    members.set_live({"a"}, 0.0)
    members.receive_deletion(["a"])
    members.begin_list()
    assert members.receive_list([], 1.0) == ()
    assert members.next_timeout == 1.0 + LIVE_PATIENCE
    assert members.handle_timeout(LIVE_PATIENCE) == ()
    assert members.handle_timeout(1.0 + LIVE_PATIENCE) == (Change("a", None),)


def test_second_deletion_does_not_begin_the_time_anew(members: Members) -> None:
    members.set_live({"a"}, 0.0)
    for now in (1.0, 100.0):
        members.receive_deletion(["a"])
        members.begin_list()
        members.receive_list([], now)
    assert members.next_timeout == 1.0 + LIVE_PATIENCE


def test_absent_member_goes_with_its_tunnel(members: Members) -> None:
    members.set_live({"a"}, 0.0)
    members.receive_deletion(["a"])
    members.begin_list()
    members.receive_list([], 1.0)
    assert members.set_live(set(), 2.0) == (Change("a", None),)


def test_without_an_answer_the_doubted_go_after_a_while(members: Members) -> None:
    members.receive_deletion(["a"])
    members.begin_list()
    members.receive_deletion(["b"])
    members.fail_list(1.0)
    assert members.needs_list
    members.begin_list()
    members.fail_list(2.0)
    assert members.handle_timeout(1.0 + SNAPSHOT_PATIENCE) == (Change("a", None),)
    members.begin_list()
    assert members.receive_list([record("b")], 3.0) == ()
    assert members.next_timeout is None


# ----------------------------------------------------------------------------------- snapshots


def test_member_that_a_snapshot_lacks_gets_time(members: Members) -> None:
    assert members.receive_snapshot([record("b")], 10.0) == ()
    members.receive_snapshot([record("b")], 50.0)
    assert members.next_timeout == 10.0 + SNAPSHOT_PATIENCE
    assert not members.is_present("a")
    assert members.handle_timeout(10.0 + SNAPSHOT_PATIENCE) == (Change("a", None),)


def test_member_that_registers_again_in_time_stays(members: Members) -> None:
    members.receive_snapshot([], 10.0)
    assert members.receive_change([record("a")]) == ()
    assert members.handle_timeout(1_000.0) == (Change("b", None),)
    assert hosts(members) == {"a": "one"}


def test_member_without_data_is_absent(members: Members) -> None:
    members.receive_snapshot([AffiliateRecord("a", b"", (b"e",)), record("b")], 10.0)
    assert not members.is_present("a")


def test_time_without_the_service_does_not_count(members: Members) -> None:
    members.receive_snapshot([record("b")], 10.0)
    members.begin_silence(20.0)
    members.begin_silence(30.0)
    assert members.next_timeout is None
    assert members.handle_timeout(10_000.0) == ()
    members.receive_snapshot([record("b")], 1_020.0)
    assert members.next_timeout == 1_010.0 + SNAPSHOT_PATIENCE


def test_snapshot_does_not_confirm_a_deletion(members: Members) -> None:
    members.receive_deletion(["a"])
    assert members.receive_snapshot([record("b")], 10.0) == ()
    assert not members.needs_list
    assert members.next_timeout == 10.0 + SNAPSHOT_PATIENCE


def test_deletion_of_an_absent_member_is_asked_after_too(members: Members) -> None:
    members.receive_snapshot([record("b")], 10.0)
    members.receive_deletion(["a"])
    members.begin_list()
    assert members.receive_list([], 11.0) == (Change("a", None),)


def test_member_that_goes_while_doubted_is_forgotten_whole(members: Members) -> None:
    members.receive_snapshot([record("b")], 10.0)
    members.receive_deletion(["a"])
    assert members.handle_timeout(10.0 + SNAPSHOT_PATIENCE) == (Change("a", None),)
    assert not members.needs_list


# -------------------------------------------------------------------------- memory and limits


def test_members_of_an_earlier_run_are_members() -> None:
    members = Members("me", open_record)
    known = {"a": affiliate("a"), "me": affiliate("me"), "b": affiliate("b")}
    assert members.remember(known) == (appeared("a"), appeared("b"))
    assert members.remember({"a": affiliate("a", "old")}) == ()
    assert members.receive_snapshot([record("a", "one")], 0.0) == ()
    assert members.handle_timeout(SNAPSHOT_PATIENCE) == (Change("b", None),)


def everybody(prefix: str, count: int = 1_024) -> list[AffiliateRecord]:
    return [record(f"{prefix}{number:04}") for number in range(count)]


def test_no_more_than_a_cluster_has() -> None:
    members = Members("me", open_record)
    members.receive_snapshot(everybody("a", 3_000), 0.0)
    assert len(members) == 1_024
    assert members.receive_change([record("z")]) == ()
    assert members.remember({"y": affiliate("y")}) == ()
    assert members.refusals == {"too_many_records": 1_976, "too_many_members": 1}
    assert members.receive_change([record("a0000", "two")]) == (appeared("a0000", "two"),)


def test_absent_members_make_place_unless_they_live() -> None:
    members = Members("me", open_record)
    members.receive_snapshot(everybody("a"), 0.0)
    members.set_live({"a0000"}, 0.0)
    members.receive_snapshot(everybody("b"), 1.0)
    assert len(members) == 1_024
    assert "a0000" in members.members
    assert "a0001" not in members.members
    assert members.refusals == {"too_many_members": 1}
