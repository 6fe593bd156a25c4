"""Sessions in slot and index table: always in step, whatever is made, confirmed or ended."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.model.constants import REJECT_AFTER_MESSAGES, REKEY_AFTER_MESSAGES
from kubespan.noise.handshake import SessionKeys
from kubespan.wireguard.datapath import Keypair
from kubespan.wireguard.purepath import PurePath
from kubespan.wireguard.sessions import (
    Sessions,
    can_receive,
    can_send,
    is_old_for_receiving,
    is_old_for_sending,
)
from kubespan.wireguard.slot import PureSlot
from kubespan.wireguard.surroundings import Surroundings
from tests.wireguard.twins import ONE_KEY, OTHER_KEY, keypair

START = 1000.0


class Ground:
    """Sessions of one peer, with what they stand on."""

    def __init__(self) -> None:
        self.surroundings: Surroundings[str] = Surroundings(PurePath(), Random(0).randbytes)
        self.slot = PureSlot()
        self.sessions: Sessions[str] = Sessions(self.slot, self.surroundings)
        self.made: list[Keypair] = []

    def derive(self, *, is_initiator: bool = True, boot: float = START) -> Keypair:
        index = self.surroundings.allocate_index("peer", None)
        keys = SessionKeys(ONE_KEY, OTHER_KEY, is_initiator, index, 5)
        self.made.append(self.sessions.derive(keys, boot))
        return self.made[-1]

    def installed(self) -> set[Keypair]:
        return {self.slot.previous, self.slot.current, self.slot.next} - {None}  # type: ignore[return-value]


def test_a_derived_session_is_found_by_index_but_not_installed() -> None:
    ground = Ground()
    made = ground.derive(is_initiator=False, boot=7.0)
    assert ground.surroundings.indices.keypair(made.local_index) == ("peer", made)
    assert ground.installed() == set()
    assert (made.remote_index, made.is_initiator, made.created_at) == (5, False, 7.0)


def test_only_current_sends() -> None:
    ground = Ground()
    answered = ground.derive(is_initiator=False)
    ground.sessions.install_answered(answered)
    assert ground.sessions.sending(START) is None
    ground.sessions.install_confirmed()
    assert ground.sessions.sending(START) is answered
    assert ground.sessions.sending(START + 180.0) is None


def test_ended_sending_withholds_all_there_is_but_nothing_newer() -> None:
    ground = Ground()
    current, following = ground.derive(), ground.derive(is_initiator=False)
    ground.sessions.install_initiated(current)
    ground.sessions.install_answered(following)
    ground.sessions.end_sending()
    assert ground.sessions.sending(START) is None
    assert ground.installed() == {current, following}
    assert ground.sessions.is_withheld(following)
    ground.sessions.install_confirmed()
    assert ground.sessions.sending(START) is None
    assert following in ground.installed()
    newer = ground.derive()
    ground.sessions.install_initiated(newer)
    assert ground.sessions.sending(START) is newer


def test_an_answer_after_the_end_of_sending_is_not_withheld() -> None:
    ground = Ground()
    ground.sessions.install_answered(ground.derive(is_initiator=False))
    ground.sessions.end_sending()
    newer = ground.derive(is_initiator=False)
    ground.sessions.install_answered(newer)
    assert not ground.sessions.is_withheld(newer)
    ground.sessions.install_confirmed()
    assert ground.sessions.sending(START) is newer


@given(
    st.lists(st.sampled_from(("initiated", "answered", "confirmed", "end", "clear")), max_size=30)
)
def test_an_index_names_a_keypair_as_long_as_the_slot_holds_it(steps: list[str]) -> None:
    ground = Ground()
    for step in steps:
        match step:
            case "initiated":
                ground.sessions.install_initiated(ground.derive())
            case "answered":
                ground.sessions.install_answered(ground.derive(is_initiator=False))
            case "confirmed" if ground.slot.next is not None:
                ground.sessions.install_confirmed()
            case "end":
                ground.sessions.end_sending()
            case "clear":
                ground.sessions.clear()
        indices = ground.surroundings.indices
        named = {made for made in ground.made if indices.keypair(made.local_index) is not None}
        assert named == ground.installed()


@pytest.mark.parametrize(("age", "expected"), [(0.0, True), (179.9, True), (180.0, False)])
def test_can_send_for_180_seconds(age: float, expected: bool) -> None:
    assert can_send(keypair(created_at=START), START + age) is expected


@pytest.mark.parametrize(("age", "expected"), [(0.0, True), (180.0, True), (180.1, False)])
def test_can_receive_for_180_seconds(age: float, expected: bool) -> None:
    assert can_receive(keypair(created_at=START), START + age) is expected


@pytest.mark.parametrize(
    ("counter", "expected"), [(REJECT_AFTER_MESSAGES - 1, True), (REJECT_AFTER_MESSAGES, False)]
)
def test_can_send_so_many_messages(counter: int, expected: bool) -> None:
    session = keypair(created_at=START)
    session.send_counter = counter
    assert can_send(session, START) is expected


@pytest.mark.parametrize("is_initiator", [True, False])
@pytest.mark.parametrize(
    ("age", "counter", "by_age", "by_count"),
    [
        (120.0, 0, False, False),
        (120.1, 0, True, False),
        (1.0, REKEY_AFTER_MESSAGES, False, False),
        (1.0, REKEY_AFTER_MESSAGES + 1, False, True),
    ],
)
def test_age_is_for_the_initiator_and_count_for_both(
    is_initiator: bool, age: float, counter: int, by_age: bool, by_count: bool
) -> None:
    session = keypair(created_at=START, is_initiator=is_initiator)
    session.send_counter = counter
    assert is_old_for_sending(session, START + age) is (by_count or (by_age and is_initiator))


@pytest.mark.parametrize(
    ("is_initiator", "age", "expected"),
    [(True, 165.0, False), (True, 165.1, True), (False, 170.0, False)],
)
def test_who_only_receives_asks_later(is_initiator: bool, age: float, expected: bool) -> None:
    session = keypair(created_at=START, is_initiator=is_initiator)
    assert is_old_for_receiving(session, START + age) is expected
