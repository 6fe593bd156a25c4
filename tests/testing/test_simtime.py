"""Virtual time itself, and alarms that are set and set again."""

from __future__ import annotations

from kubespan.testing.simtime import BEGIN, Alarm, Timeline


def test_things_happen_in_order_and_at_their_moment() -> None:
    timeline, story = Timeline(), []
    for after, name in ((2.0, "late"), (1.0, "early"), (1.0, "early too"), (-5.0, "at once")):
        timeline.at(BEGIN + after, lambda name=name: story.append((name, timeline.elapsed)))  # type: ignore[misc]
    timeline.run(1.5)
    assert story == [("at once", 0.0), ("early", 1.0), ("early too", 1.0)]
    assert timeline.elapsed == 1.5
    before = timeline.instant
    timeline.run(0.5)
    assert story[-1] == ("late", 2.0)
    assert timeline.instant.wall_ns - before.wall_ns == 500_000_000
    assert timeline.instant.boot == timeline.now


def test_an_alarm_rings_once_and_when_it_was_set_last() -> None:
    timeline, rung = Timeline(), list[float]()
    alarm = Alarm(timeline, lambda: rung.append(timeline.elapsed))
    alarm.set(BEGIN + 1)
    alarm.set(BEGIN + 3)
    alarm.set(BEGIN + 2)
    timeline.run(10.0)
    assert rung == [2.0]
    alarm.set(BEGIN + 11)
    alarm.set(None)
    timeline.run(10.0)
    assert rung == [2.0]


def test_an_alarm_may_be_set_while_it_rings() -> None:
    timeline, rung = Timeline(), list[float]()

    def ring() -> None:
        rung.append(timeline.elapsed)
        if len(rung) < 3:
            alarm.set(timeline.now + 1)

    alarm = Alarm(timeline, ring)
    alarm.set(BEGIN + 1)
    timeline.run(10.0)
    assert rung == [1.0, 2.0, 3.0]
