"""The five timers as a table: what has happened, and what is due when."""

from __future__ import annotations

import pytest

from kubespan.wireguard.slot import PureSlot
from kubespan.wireguard.timers import Timer, Timers

START = 1000.0
JITTER = 0.25


class Watch:
    """Timers that run, with the slot that they watch."""

    def __init__(self, interval: int = 0) -> None:
        self.slot = PureSlot()
        self.timers = Timers(self.slot)
        self.timers.persistent_interval = interval
        self.timers.start(START)

    def due(self, boot: float) -> list[Timer]:
        return self.timers.due(boot)

    def is_due_first_at(self, boot: float, timer: Timer) -> bool:
        return timer not in self.due(boot - 0.001) and timer in self.due(boot)

    def sends(self, boot: float, *, data: bool = True) -> None:
        self.slot.note_sent(boot, 0, data=data)

    def receives(self, boot: float, *, data: bool = True) -> None:
        self.slot.note_received(boot, 0, data=data)


def test_nothing_is_due_of_itself() -> None:
    watch = Watch(interval=1)
    assert watch.due(START + 1e6) == []
    assert watch.timers.next_check(START) is None


def test_retransmit_handshake() -> None:
    watch = Watch()
    watch.timers.initiation_sent(START, JITTER)
    assert watch.is_due_first_at(START + 5.25, Timer.RETRANSMIT_HANDSHAKE)
    watch.timers.retransmit_expired()
    assert watch.due(START + 100) == []
    watch.timers.initiation_sent(START + 5.25, JITTER)
    watch.timers.handshake_complete(0.0)
    assert watch.due(START + 100) == []


def test_send_keepalive() -> None:
    watch = Watch()
    watch.receives(START + 1, data=False)
    assert watch.due(START + 100) == []
    watch.receives(START + 2)
    assert watch.is_due_first_at(START + 12, Timer.SEND_KEEPALIVE)
    watch.sends(START + 3, data=False)
    assert watch.due(START + 100) == []


def test_another_keepalive_if_more_came() -> None:
    watch = Watch()
    watch.receives(START)
    watch.receives(START + 4)
    watch.timers.keepalive_expired(START + 10)
    watch.sends(START + 10, data=False)
    assert watch.is_due_first_at(START + 20, Timer.SEND_KEEPALIVE)
    # What comes while it is pending does not move it.
    watch.receives(START + 15)
    assert watch.is_due_first_at(START + 20, Timer.SEND_KEEPALIVE)
    watch.timers.keepalive_expired(START + 20)
    watch.sends(START + 20, data=False)
    assert watch.is_due_first_at(START + 30, Timer.SEND_KEEPALIVE)
    watch.timers.keepalive_expired(START + 30)
    watch.sends(START + 30, data=False)
    assert watch.due(START + 100) == []


def test_anything_sent_makes_another_keepalive_needless() -> None:
    watch = Watch()
    watch.receives(START)
    watch.receives(START + 4)
    watch.timers.keepalive_expired(START + 10)
    watch.sends(START + 10, data=False)
    watch.sends(START + 11, data=False)
    assert watch.due(START + 100) == []


def test_a_keepalive_that_could_not_be_sent_is_not_due_for_ever() -> None:
    watch = Watch()
    watch.receives(START)
    watch.timers.keepalive_expired(START + 10)
    assert watch.due(START + 100) == []


def test_new_handshake() -> None:
    watch = Watch()
    watch.timers.handshake_complete(JITTER)
    watch.sends(START + 1, data=False)
    assert watch.due(START + 100) == []
    watch.sends(START + 2)
    watch.sends(START + 3)
    assert watch.is_due_first_at(START + 17.25, Timer.NEW_HANDSHAKE)
    watch.receives(START + 4, data=False)
    assert watch.due(START + 100) == []


def test_a_new_handshake_is_due_again_only_for_new_data() -> None:
    watch = Watch()
    watch.sends(START)
    watch.timers.new_handshake_expired(JITTER)
    assert watch.due(START + 100) == []
    watch.sends(START + 20)
    assert watch.is_due_first_at(START + 35.25, Timer.NEW_HANDSHAKE)


def test_zero_key_material() -> None:
    watch = Watch()
    watch.timers.session_derived(START)
    assert watch.is_due_first_at(START + 540, Timer.ZERO_KEY_MATERIAL)
    watch.timers.session_derived(START + 100)
    assert watch.is_due_first_at(START + 640, Timer.ZERO_KEY_MATERIAL)
    watch.timers.keys_zeroed()
    assert watch.due(START + 10000) == []


def test_giving_up_is_silence_until_the_keys_end() -> None:
    watch = Watch()
    watch.timers.initiation_sent(START, JITTER)
    watch.receives(START)
    watch.receives(START + 1)
    watch.timers.keepalive_expired(START + 10)
    watch.timers.gave_up(START + 12)
    assert watch.due(START + 551) == []
    assert watch.is_due_first_at(START + 552, Timer.ZERO_KEY_MATERIAL)


def test_giving_up_does_not_put_the_end_of_keys_off() -> None:
    watch = Watch()
    watch.timers.session_derived(START)
    watch.timers.gave_up(START + 100)
    assert watch.is_due_first_at(START + 540, Timer.ZERO_KEY_MATERIAL)


@pytest.mark.parametrize("is_sent", [True, False])
def test_persistent_keepalive(is_sent: bool) -> None:
    watch = Watch(interval=25)
    happens = watch.sends if is_sent else watch.receives
    happens(START, data=False)
    assert watch.is_due_first_at(START + 25, Timer.PERSISTENT_KEEPALIVE)
    happens(START + 20, data=False)
    assert watch.is_due_first_at(START + 45, Timer.PERSISTENT_KEEPALIVE)
    # Without anything sent, as without a session, it is not due again.
    watch.timers.persistent_keepalive_expired()
    assert watch.due(START + 1000) == []
    happens(START + 50, data=False)
    assert watch.is_due_first_at(START + 75, Timer.PERSISTENT_KEEPALIVE)
    watch.timers.persistent_interval = 0
    assert watch.due(START + 1000) == []


def test_all_at_once_come_in_order() -> None:
    watch = Watch(interval=1)
    watch.timers.initiation_sent(START, JITTER)
    watch.timers.session_derived(START)
    watch.sends(START)
    watch.slot.first_data_received_at = START
    assert watch.due(START + 1000) == list(Timer)


def test_stopping_forgets_everything_and_nothing_can_be_armed() -> None:
    watch = Watch(interval=1)
    for _ in range(2):
        watch.timers.initiation_sent(START, JITTER)
        watch.timers.session_derived(START)
        watch.timers.gave_up(START)
        watch.sends(START)
        watch.receives(START)
        watch.sends(START)
        watch.timers.stop()
        assert not watch.timers.is_running
        assert watch.due(START + 1000) == []
        assert watch.timers.next_check(START) is None
    # What was before the start does not count after it.
    watch.timers.start(START + 10)
    assert watch.due(START + 1000) == []


@pytest.mark.parametrize(("interval", "expected"), [(0, 10.0), (25, 10.0), (3, 3.0)])
def test_lanes_are_looked_after_as_often_as_they_could_make_something_due(
    interval: int, expected: float
) -> None:
    watch = Watch(interval)
    watch.timers.session_derived(START)
    assert watch.timers.next_check(START) == START + expected


def test_the_next_check_is_the_earliest_deadline() -> None:
    watch = Watch()
    watch.timers.session_derived(START)
    watch.timers.initiation_sent(START, JITTER)
    assert watch.timers.next_check(START) == START + 5.25


def test_an_initiation_can_be_planned_while_the_peer_is_there() -> None:
    timers = Timers(PureSlot())
    timers.initiation_planned(5.0)
    assert not timers.is_handshake_expected
    timers.start(1.0)
    timers.initiation_planned(5.0)
    assert timers.is_handshake_expected
    assert (timers.due(4.9), timers.due(5.0)) == ([], [Timer.RETRANSMIT_HANDSHAKE])
