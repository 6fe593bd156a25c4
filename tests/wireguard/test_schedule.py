"""The schedule: earliest first, nobody forgotten, nobody asked who was not touched."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kubespan.wireguard.schedule import Schedule


def never(_: str) -> None:
    return None


def test_earliest_first() -> None:
    schedule: Schedule[str] = Schedule()
    wishes = {"a": 3.0, "b": 1.0, "c": 2.0}
    for sleeper in wishes:
        schedule.touch(sleeper)
    assert schedule.next(wishes.__getitem__) == 1.0
    assert schedule.pop_due(2.5) == ["b", "c"]
    assert schedule.pop_due(2.5) == []


def test_only_the_touched_are_asked() -> None:
    schedule: Schedule[str] = Schedule()
    asked = []

    def check(sleeper: str) -> float:
        asked.append(sleeper)
        return 5.0

    schedule.touch("a")
    schedule.next(check)
    schedule.touch("b")
    schedule.next(check)
    assert asked == ["a", "b"]


def test_who_was_woken_is_asked_again() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.touch("a")
    schedule.next(lambda _: 1.0)
    schedule.pop_due(1.0)
    assert schedule.next(lambda _: 7.0) == 7.0


def test_putting_off_wakes_early_rather_than_late() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.touch("a")
    schedule.next(lambda _: 1.0)
    schedule.touch("a")
    assert schedule.next(lambda _: 9.0) == 1.0
    assert schedule.pop_due(1.0) == ["a"]
    assert schedule.next(lambda _: 9.0) == 9.0


def test_bringing_forward_wakes_once() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.touch("a")
    schedule.next(lambda _: 9.0)
    schedule.touch("a")
    assert schedule.next(lambda _: 1.0) == 1.0
    assert schedule.pop_due(1.0) == ["a"]
    assert schedule.next(never) is None
    assert schedule.pop_due(100.0) == []


def test_the_forgotten_are_not_woken() -> None:
    schedule: Schedule[str] = Schedule()
    for sleeper in ("a", "b"):
        schedule.touch(sleeper)
    schedule.next(lambda _: 1.0)
    schedule.touch("a")
    schedule.forget("a")
    assert schedule.pop_due(2.0) == ["b"]
    assert schedule.next(never) is None


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.none() | st.integers(1, 10).map(float)), max_size=30
    )
)
def test_nobody_sleeps_past_the_last_wish(wishes: list[tuple[str, float | None]]) -> None:
    schedule: Schedule[str] = Schedule()
    latest: dict[str, float | None] = {}
    for sleeper, wake_at in wishes:
        latest[sleeper] = wake_at
        schedule.touch(sleeper)
        schedule.next(latest.__getitem__)
    earliest = schedule.next(latest.__getitem__)
    wanted = [wake_at for wake_at in latest.values() if wake_at is not None]
    assert (earliest is None) == (wanted == [])
    assert earliest is None or earliest <= min(wanted)
    woken = schedule.pop_due(10.0)
    assert sorted(woken) == sorted(s for s, wake_at in latest.items() if wake_at is not None)
