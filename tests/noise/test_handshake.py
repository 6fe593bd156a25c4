"""The handshake: known answers, refusals that leave no trace, two ends in any order of events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, multiple, rule

from kubespan.model.drop import DropReason
from kubespan.model.errors import InternalError, ProtocolError
from kubespan.model.keys import PresharedKey, PrivateKey, PublicKey
from kubespan.noise.cookie import CookieGenerator
from kubespan.noise.handshake import (
    Handshake,
    HandshakeState,
    LocalStatic,
    SessionKeys,
    open_initiation,
)
from kubespan.noise.messages import Initiation, Response
from kubespan.noise.primitives import dh, hash_
from kubespan.noise.symmetric import SymmetricState
from tests.noise.pair import PRESHARED, Pair, moment, pair, private_key, snapshot
from tests.vectors.reader import read

known = read("handshake")
low_order_points = [PublicKey.from_hex(point) for point in read("low_order_points")]
every_low_order_point = pytest.mark.parametrize("point", low_order_points, ids=str)


def known_key(name: str) -> PrivateKey:
    return PrivateKey.from_hex(known["keys"][name]["private"])


def known_pair() -> Pair:
    initiator = LocalStatic(known_key("initiator_static"))
    responder = LocalStatic(known_key("responder_static"))
    ends = Pair(
        initiator,
        responder,
        Handshake(initiator, responder.public_key),
        Handshake(responder, initiator.public_key),
    )
    for end in (ends.initiator, ends.responder):
        end.preshared_key = PresharedKey.from_hex(known["preshared_key"])
    return ends


def known_initiation(ends: Pair) -> bytes:
    return ends.initiator.create_initiation(
        ephemeral=known_key("initiator_ephemeral"),
        local_index=known["initiator_index"],
        timestamp=bytes.fromhex(known["timestamp"]),
    )


def known_response(ends: Pair) -> bytes:
    return ends.responder.create_response(
        ephemeral=known_key("responder_ephemeral"), local_index=known["responder_index"]
    )


def symmetric(handshake: Handshake) -> tuple[str, str]:
    state = handshake._symmetric
    assert state is not None
    return state.hash.hex(), state.chaining_key.hex()


def refusal(attempt: Callable[[], object], *untouched: Handshake) -> DropReason:
    """Say why `attempt` is refused, having left no trace."""
    before = [snapshot(handshake) for handshake in untouched]
    with pytest.raises(ProtocolError) as caught:
        attempt()
    assert [snapshot(handshake) for handshake in untouched] == before
    return caught.value.reason


def agree(initiator: SessionKeys, responder: SessionKeys) -> bool:
    return initiator == SessionKeys(
        send_key=responder.receive_key,
        receive_key=responder.send_key,
        is_initiator=not responder.is_initiator,
        local_index=responder.remote_index,
        remote_index=responder.local_index,
    )


# The known handshake


def test_the_known_initiation() -> None:
    ends = known_pair()
    initiation = CookieGenerator(ends.responder_local.public_key).add_macs(
        known_initiation(ends), 0.0
    )
    assert initiation.hex() == known["initiation"]
    ends.consume(Initiation.parse(initiation))
    expected = known["hash_after_initiation"], known["chaining_key_after_initiation"]
    assert symmetric(ends.initiator) == symmetric(ends.responder) == expected


def test_the_known_response() -> None:
    ends = known_pair()
    ends.consume(Initiation.parse(known_initiation(ends)))
    response = CookieGenerator(ends.initiator_local.public_key).add_macs(known_response(ends), 0.0)
    assert response.hex() == known["response"]
    ends.initiator.consume_response(Response.parse(response))
    expected = known["final_hash"], known["final_chaining_key"]
    assert symmetric(ends.initiator) == symmetric(ends.responder) == expected


def test_the_known_session() -> None:
    ends = known_pair()
    ends.consume(Initiation.parse(bytes.fromhex(known["initiation"])))
    known_initiation(ends)
    ends.initiator.consume_response(Response.parse(known_response(ends)))
    from_initiator = bytes.fromhex(known["key_from_initiator"])
    from_responder = bytes.fromhex(known["key_from_responder"])
    one, two = known["initiator_index"], known["responder_index"]
    assert ends.initiator.begin_session() == SessionKeys(
        from_initiator, from_responder, is_initiator=True, local_index=one, remote_index=two
    )
    assert ends.responder.begin_session() == SessionKeys(
        from_responder, from_initiator, is_initiator=False, local_index=two, remote_index=one
    )


# States


def test_a_handshake_goes_through_its_states() -> None:
    ends = pair()
    seen = [(ends.initiator.state, ends.responder.state)]
    initiation = ends.initiation()
    seen.append((ends.initiator.state, ends.responder.state))
    ends.consume(initiation)
    seen.append((ends.initiator.state, ends.responder.state))
    response = ends.response()
    seen.append((ends.initiator.state, ends.responder.state))
    ends.initiator.consume_response(response)
    seen.append((ends.initiator.state, ends.responder.state))
    assert agree(ends.initiator.begin_session(), ends.responder.begin_session())
    seen.append((ends.initiator.state, ends.responder.state))
    assert seen == [
        (HandshakeState.ZEROED, HandshakeState.ZEROED),
        (HandshakeState.CREATED_INITIATION, HandshakeState.ZEROED),
        (HandshakeState.CREATED_INITIATION, HandshakeState.CONSUMED_INITIATION),
        (HandshakeState.CREATED_INITIATION, HandshakeState.CREATED_RESPONSE),
        (HandshakeState.CONSUMED_RESPONSE, HandshakeState.CREATED_RESPONSE),
        (HandshakeState.ZEROED, HandshakeState.ZEROED),
    ]


def test_a_response_answers_an_initiation() -> None:
    ends = pair()
    response_of_another = pair()
    response_of_another.consume(response_of_another.initiation())
    response = response_of_another.response()
    for prepare in (
        lambda: None,
        lambda: ends.consume(ends.initiation()),
        ends.response,
    ):
        prepare()
        reason = refusal(lambda: ends.responder.consume_response(response), ends.responder)
        assert reason is DropReason.UNEXPECTED


def test_a_response_is_consumed_once() -> None:
    ends = pair()
    ends.consume(ends.initiation())
    response = ends.response()
    ends.initiator.consume_response(response)
    again = partial(ends.initiator.consume_response, response)
    assert refusal(again, ends.initiator) is DropReason.UNEXPECTED
    ends.initiator.begin_session()
    assert refusal(again, ends.initiator) is DropReason.UNEXPECTED


def test_a_response_to_an_earlier_initiation_is_refused() -> None:
    ends = pair()
    ends.consume(ends.initiation(1))
    response = ends.response()
    ends.initiation(2)
    reason = refusal(lambda: ends.initiator.consume_response(response), ends.initiator)
    assert reason is DropReason.BAD_AEAD


@pytest.mark.parametrize("state", HandshakeState)
def test_only_a_consumed_initiation_is_answered(state: HandshakeState) -> None:
    ends = pair()
    ends.consume(ends.initiation())
    ends.responder.state = state
    if state is HandshakeState.CONSUMED_INITIATION:
        ends.response()
    else:
        with pytest.raises(InternalError):
            ends.response()


@pytest.mark.parametrize("state", HandshakeState)
def test_only_a_completed_handshake_begins_a_session(state: HandshakeState) -> None:
    ends = pair()
    ends.consume(ends.initiation())
    ends.responder.state = state
    if state in {HandshakeState.CREATED_RESPONSE, HandshakeState.CONSUMED_RESPONSE}:
        assert ends.responder.begin_session().is_initiator == (
            state is HandshakeState.CONSUMED_RESPONSE
        )
    else:
        with pytest.raises(InternalError):
            ends.responder.begin_session()


def crossed() -> tuple[Pair, PrivateKey]:
    """Both have called, and the responder has heard the initiator first."""
    ends = pair()
    initiation = ends.initiation()
    ends.responder.create_initiation(ephemeral=private_key(77), local_index=99, timestamp=moment(1))
    pending = ends.responder._ephemeral
    assert pending is not None
    ends.consume(initiation)
    assert ends.responder.state is HandshakeState.CONSUMED_INITIATION
    return ends, pending


def test_an_initiation_that_is_crossed_by_another_waits_until_that_is_answered() -> None:
    ends, pending = crossed()
    ends.initiator.consume_response(ends.response())
    assert agree(ends.initiator.begin_session(), ends.responder.begin_session())
    assert ends.responder.state is HandshakeState.CREATED_INITIATION
    assert (ends.responder.local_index, ends.responder.remote_index) == (99, 0)
    assert ends.responder._ephemeral is pending
    assert pending._secret != bytes(32)


def test_an_initiation_that_was_crossed_is_answered_all_the_same() -> None:
    one, other = pair(), pair()
    first = one.initiation()
    calling = one.responder.create_initiation(
        ephemeral=private_key(77), local_index=99, timestamp=moment(1)
    )
    one.consume(first)
    one.response()
    one.responder.begin_session()
    # The other end is another pair's initiator, who has the same key.
    opened = open_initiation(other.initiator_local, Initiation.parse(calling))
    other.initiator.consume_initiation(opened, Initiation.parse(calling), boot=1.0)
    answer = other.initiator.create_response(ephemeral=private_key(78), local_index=5)
    one.responder.consume_response(Response.parse(answer))
    assert agree(one.responder.begin_session(), other.initiator.begin_session())


def test_two_that_cross_the_same_initiation_leave_it_waiting() -> None:
    ends, pending = crossed()
    ends.consume(ends.initiation(2), boot=2000.0)
    ends.response()
    ends.responder.begin_session()
    assert ends.responder._ephemeral is pending


@pytest.mark.parametrize("begins_anew", [True, False])
def test_what_waits_is_wiped_when_it_is_forgotten(begins_anew: bool) -> None:
    ends, pending = crossed()
    if begins_anew:
        ends.responder.create_initiation(
            ephemeral=private_key(78), local_index=100, timestamp=moment(2)
        )
    else:
        ends.responder.clear()
    assert pending._secret == bytes(32)


def test_a_call_back_knows_no_index_of_the_other_end_yet() -> None:
    ends = pair()
    ends.consume(ends.initiation(7))
    assert ends.responder.remote_index == 7
    ends.responder.create_initiation(ephemeral=private_key(77), local_index=99, timestamp=moment(1))
    assert (ends.responder.local_index, ends.responder.remote_index) == (99, 0)


def test_the_index_of_a_given_up_initiation_can_still_be_released() -> None:
    ends = pair()
    initiation = ends.initiation()
    ends.responder.create_initiation(ephemeral=private_key(77), local_index=99, timestamp=moment(1))
    ends.consume(initiation)
    assert ends.responder.local_index == 99
    ends.response(1)
    assert ends.responder.local_index == 0x101


# Replay and flood


@pytest.mark.parametrize("number", [5, 4, 1])
def test_an_initiation_not_newer_than_the_newest_is_refused(number: int) -> None:
    ends = pair()
    old = ends.initiation(number)
    ends.consume(ends.initiation(5))
    reason = refusal(lambda: ends.consume(old, boot=1000.0), ends.responder)
    # The very same one again came by another way, or is replayed; no clock need be wrong.
    assert reason is (DropReason.REPLAYED if number == 5 else DropReason.OLD_TIMESTAMP)


def test_timestamps_are_compared_as_one_number() -> None:
    """One later second with fewer nanoseconds is later; no byte may be compared alone."""
    earlier, later = (
        bytes.fromhex("00" * 7 + "01" + "ff" * 4),
        bytes.fromhex("00" * 7 + "02" + "00" * 4),
    )
    ends = pair()
    for number, stamp in enumerate((earlier, later)):
        datagram = ends.initiator.create_initiation(
            ephemeral=private_key(9), local_index=1, timestamp=stamp
        )
        ends.consume(Initiation.parse(datagram), boot=float(number))
    assert ends.responder.latest_timestamp == later


def test_the_newest_timestamp_outlives_handshake_and_key() -> None:
    ends = pair()
    initiation = ends.initiation(5)
    ends.consume(initiation)
    ends.response()
    ends.responder.begin_session()
    ends.responder.clear()
    ends.responder.set_local(LocalStatic(private_key(3)))
    ends.responder.set_local(ends.responder_local)
    reason = refusal(lambda: ends.consume(initiation, boot=1000.0), ends.responder)
    assert reason is DropReason.REPLAYED


def test_initiations_are_20_milliseconds_apart() -> None:
    ends = pair()
    ends.consume(ends.initiation(1), boot=100.0)
    second = ends.initiation(2)
    opened = open_initiation(ends.responder_local, second)
    consume = partial(ends.responder.consume_initiation, opened, second)
    reason = refusal(lambda: consume(boot=100.019), ends.responder)
    assert reason is DropReason.HANDSHAKE_FLOOD
    consume(boot=100.02)
    assert ends.responder.last_initiation_consumed_at == 100.02


def test_a_refused_initiation_does_not_hold_up_the_next() -> None:
    ends = pair()
    good = ends.initiation()
    bad = replace(good, encrypted_timestamp=bytes(28))
    reason = refusal(lambda: ends.consume(bad, boot=100.0), ends.responder)
    assert reason is DropReason.BAD_AEAD
    ends.consume(good, boot=100.0)


def test_the_first_initiation_may_come_right_after_boot() -> None:
    ends = pair()
    assert ends.responder.last_initiation_consumed_at == -inf
    ends.consume(ends.initiation(), boot=0.0)


# Damage


def flipped_bits(datagram: bytes, start: int, end: int) -> list[bytes]:
    flipped = []
    for bit in range(8 * start, 8 * end):
        damaged = bytearray(datagram)
        damaged[bit // 8] ^= 1 << bit % 8
        flipped.append(bytes(damaged))
    return flipped


def test_every_flipped_bit_of_an_initiation_is_refused() -> None:
    """From the ephemeral to the timestamp; the index before is covered by mac1 alone."""
    ends = pair()
    datagram = ends.initiation().build()
    for damaged in flipped_bits(datagram, 8, 116):
        consume = partial(ends.consume, Initiation.parse(damaged))
        assert refusal(consume, ends.responder) is DropReason.BAD_AEAD
    ends.consume(Initiation.parse(datagram))


def test_every_flipped_bit_of_a_response_is_refused() -> None:
    """The ephemeral and the sealed nothing; the indices before are covered by mac1 alone."""
    ends = pair()
    ends.consume(ends.initiation())
    datagram = ends.response().build()
    for damaged in flipped_bits(datagram, 12, 60):
        consume = partial(ends.initiator.consume_response, Response.parse(damaged))
        assert refusal(consume, ends.initiator) is DropReason.BAD_AEAD
    ends.initiator.consume_response(Response.parse(datagram))


messages = st.builds(
    Initiation,
    st.integers(0, 2**32 - 1),
    st.builds(PublicKey, st.binary(min_size=32, max_size=32)),
    st.binary(min_size=48, max_size=48),
    st.binary(min_size=28, max_size=28),
)


@given(message=messages)
def test_any_initiation_is_opened_or_refused(message: Initiation) -> None:
    with pytest.raises(ProtocolError):
        open_initiation(LocalStatic(private_key(2)), message)


@given(ephemeral=st.binary(min_size=32, max_size=32), sealed=st.binary(min_size=16, max_size=16))
def test_any_response_is_consumed_or_refused(ephemeral: bytes, sealed: bytes) -> None:
    ends = pair()
    ends.initiation()
    message = Response(1, 1, PublicKey(ephemeral), sealed)
    refusal(lambda: ends.initiator.consume_response(message), ends.initiator)


def test_an_initiation_for_someone_else_does_not_open() -> None:
    ends = pair()
    initiation = ends.initiation()
    reason = refusal(lambda: open_initiation(ends.initiator_local, initiation))
    assert reason is DropReason.BAD_AEAD


def test_who_claims_a_static_key_must_have_it() -> None:
    """Anyone can seal a public key; only its owner can seal the timestamp behind it."""
    ends = pair()
    impostor = Handshake(LocalStatic(private_key(666)), ends.responder_local.public_key)
    state = LocalStatic(private_key(2)).called()
    ephemeral = private_key(5)
    state.mix_hash(ephemeral.public_key.raw)
    state.mix_key(ephemeral.public_key.raw)
    state.mix_key(dh(ephemeral, ends.responder_local.public_key))
    static = state.encrypt_and_hash(ends.initiator_local.public_key.raw)
    state.mix_key(impostor._static_static)
    message = Initiation(1, ephemeral.public_key, static, state.encrypt_and_hash(moment(1)))
    assert open_initiation(ends.responder_local, message).remote_static == (
        ends.initiator_local.public_key
    )
    reason = refusal(lambda: ends.consume(message), ends.responder)
    assert reason is DropReason.BAD_AEAD


# Preshared key


@pytest.mark.parametrize("ours", [bytes(32), PRESHARED[::-1]], ids=["none", "another"])
def test_both_need_the_same_preshared_key(ours: bytes) -> None:
    ends = pair()
    ends.initiator.preshared_key = PresharedKey(ours)
    ends.consume(ends.initiation())
    response = ends.response()
    reason = refusal(lambda: ends.initiator.consume_response(response), ends.initiator)
    assert reason is DropReason.BAD_AEAD
    ends.initiator.preshared_key = PresharedKey(PRESHARED)
    ends.initiator.consume_response(response)
    assert agree(ends.initiator.begin_session(), ends.responder.begin_session())


def test_there_is_no_preshared_key_at_first() -> None:
    assert Handshake(LocalStatic(private_key(1)), private_key(2).public_key).preshared_key.is_zero


# Points of low order


@every_low_order_point
def test_an_ephemeral_of_low_order_is_refused_in_an_initiation(point: PublicKey) -> None:
    ends = pair()
    message = replace(ends.initiation(), ephemeral=point)
    reason = refusal(lambda: open_initiation(ends.responder_local, message))
    assert reason is DropReason.LOW_ORDER_POINT


@every_low_order_point
def test_an_ephemeral_of_low_order_is_refused_in_a_response(point: PublicKey) -> None:
    ends = pair()
    ends.consume(ends.initiation())
    message = replace(ends.response(), ephemeral=point)
    reason = refusal(lambda: ends.initiator.consume_response(message), ends.initiator)
    assert reason is DropReason.LOW_ORDER_POINT


@every_low_order_point
def test_a_static_key_of_low_order_is_dead(point: PublicKey) -> None:
    ends = pair()
    dead = Handshake(ends.responder_local, point)
    assert dead.is_dead
    create = partial(
        dead.create_initiation, ephemeral=private_key(5), local_index=1, timestamp=moment(1)
    )
    assert refusal(create, dead) is DropReason.LOW_ORDER_POINT
    message = initiation_of(point, ends.responder_local.public_key)
    opened = open_initiation(ends.responder_local, message)
    assert opened.remote_static == point
    consume = partial(dead.consume_initiation, opened, message, boot=0.0)
    assert refusal(consume, dead) is DropReason.LOW_ORDER_POINT


def initiation_of(claimed: PublicKey, called: PublicKey) -> Initiation:
    """Seal a static key whose secret with anyone is zero, and so known."""
    chaining_key = hash_(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")
    state = SymmetricState(chaining_key, hash_(chaining_key, b"WireGuard v1 zx2c4 Jason@zx2c4.com"))
    ephemeral = private_key(5)
    state.mix_hash(called.raw)
    state.mix_hash(ephemeral.public_key.raw)
    state.mix_key(ephemeral.public_key.raw)
    state.mix_key(dh(ephemeral, called))
    static = state.encrypt_and_hash(claimed.raw)
    state.mix_key(bytes(32))
    return Initiation(1, ephemeral.public_key, static, state.encrypt_and_hash(moment(1)))


# Private keys


def test_without_a_private_key_there_is_no_handshake() -> None:
    ends = pair()
    initiation = ends.initiation()
    opened = open_initiation(ends.responder_local, initiation)
    keyless = Handshake(None, ends.initiator_local.public_key)
    assert keyless.is_dead
    create = partial(
        keyless.create_initiation, ephemeral=private_key(5), local_index=1, timestamp=moment(1)
    )
    consume = partial(keyless.consume_initiation, opened, initiation, boot=0.0)
    assert refusal(create, keyless) is DropReason.NO_KEY
    assert refusal(consume, keyless) is DropReason.NO_KEY
    keyless.set_local(ends.responder_local)
    assert not keyless.is_dead
    keyless.consume_initiation(opened, initiation, boot=0.0)


def test_a_new_private_key_forgets_the_handshake_and_agrees_anew() -> None:
    ends = pair()
    ends.initiation()
    response_of_old = ends.initiator._static_static
    ends.initiator.set_local(LocalStatic(private_key(3)))
    assert response_of_old == bytes(32)
    assert ends.initiator.state is HandshakeState.ZEROED
    ends.responder = Handshake(ends.responder_local, private_key(3).public_key)
    ends.responder.preshared_key = PresharedKey(PRESHARED)
    ends.consume(ends.initiation(2))
    ends.initiator.consume_response(ends.response())
    assert agree(ends.initiator.begin_session(), ends.responder.begin_session())


# Secrets


def test_what_a_handshake_held_is_wiped_when_it_is_done_with() -> None:
    ends = pair()
    initiation = ends.initiation()
    ephemeral = ends.initiator._ephemeral
    states = [ends.initiator._symmetric]
    ends.consume(initiation)
    states.append(ends.responder._symmetric)
    ends.initiator.consume_response(ends.response())
    states += [ends.initiator._symmetric, ends.responder._symmetric]
    ends.initiator.begin_session()
    ends.responder.clear()
    assert ephemeral is not None
    assert ephemeral._secret == bytes(32)
    for state in states:
        assert state is not None
        assert state.chaining_key == bytes(32)
    assert (ends.initiator._symmetric, ends.initiator._ephemeral) == (None, None)
    assert (ends.initiator.local_index, ends.initiator.remote_index) == (0, 0)


def test_the_ephemeral_of_a_response_is_wiped_at_once() -> None:
    ends = pair()
    ends.consume(ends.initiation())
    ephemeral = private_key(5)
    ends.responder.create_response(ephemeral=ephemeral, local_index=1)
    assert ephemeral._secret == bytes(32)


def test_a_session_does_not_print_its_keys() -> None:
    ends = pair()
    ends.consume(ends.initiation())
    ends.initiator.consume_response(ends.response())
    keys = ends.initiator.begin_session()
    assert "key" not in repr(keys)
    opened = open_initiation(ends.responder_local, ends.initiation(2))
    assert "symmetric" not in repr(opened)


# Two ends, any order of events


class TwoEnds(RuleBasedStateMachine):
    """Both call, both answer; messages come late, twice, in any order, or never."""

    initiations = Bundle("initiations")
    responses = Bundle("responses")
    ends = st.sampled_from([0, 1])

    def __init__(self) -> None:
        super().__init__()
        both = pair()
        self.locals = (both.initiator_local, both.responder_local)
        self.handshakes = (both.initiator, both.responder)
        self.sessions: tuple[list[SessionKeys], list[SessionKeys]] = ([], [])
        self.counter = 0

    def fresh(self) -> int:
        self.counter += 1
        return self.counter

    @rule(target=initiations, end=ends)
    def call(self, end: int) -> tuple[int, Initiation]:
        number = self.fresh()
        datagram = self.handshakes[end].create_initiation(
            ephemeral=private_key(0x1000 + number), local_index=number, timestamp=moment(number)
        )
        return end, Initiation.parse(datagram)

    @rule(target=responses, initiation=initiations)
    def answer(self, initiation: tuple[int, Initiation]) -> object:
        end, message = 1 - initiation[0], initiation[1]
        handshake = self.handshakes[end]
        number = self.fresh()
        opened = open_initiation(self.locals[end], message)
        consume = partial(handshake.consume_initiation, opened, message, boot=float(number))
        if moment(message.sender_index) <= handshake.latest_timestamp:
            is_same = moment(message.sender_index) == handshake.latest_timestamp
            expected = DropReason.REPLAYED if is_same else DropReason.OLD_TIMESTAMP
            assert refusal(consume, handshake) is expected
            return multiple()
        consume()
        datagram = handshake.create_response(
            ephemeral=private_key(0x1000 + number), local_index=number
        )
        self.sessions[end].append(handshake.begin_session())
        return end, Response.parse(datagram)

    @rule(response=responses)
    def hear(self, response: tuple[int, Response]) -> None:
        end, message = 1 - response[0], response[1]
        handshake = self.handshakes[end]
        before = snapshot(handshake)
        try:
            handshake.consume_response(message)
        except ProtocolError:
            assert snapshot(handshake) == before
            assert handshake.local_index != message.receiver_index
        else:
            keys = handshake.begin_session()
            assert any(agree(keys, other) for other in self.sessions[1 - end])
            assert keys not in self.sessions[end]
            self.sessions[end].append(keys)


TestTwoEnds = TwoEnds.TestCase
TestTwoEnds.settings = settings(max_examples=50, stateful_step_count=20, deadline=None)
