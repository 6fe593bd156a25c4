"""mac1 and mac2: known answers, what a cookie is bound to, how long it lasts, when it is taken."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.model.constants import COOKIE_REFRESH_TIME
from kubespan.model.drop import DropReason
from kubespan.model.errors import ProtocolError
from kubespan.model.keys import PublicKey
from kubespan.noise.cookie import CookieChecker, CookieGenerator
from kubespan.noise.messages import CookieReply
from kubespan.noise.primitives import mac
from tests.vectors.reader import read

known = read("handshake")
RESPONDER = PublicKey.from_hex(known["keys"]["responder_static"]["public"])
INITIATOR = PublicKey.from_hex(known["keys"]["initiator_static"]["public"])
INITIATION = bytes.fromhex(known["initiation"])
RESPONSE = bytes.fromhex(known["response"])
MAC2 = bytes.fromhex(known["mac2_of_initiation"])
REPLY = CookieReply.parse(bytes.fromhex(known["cookie_reply"]["datagram"]))
WITHOUT_MACS = INITIATION[:-32] + bytes(32)

SOURCE = bytes.fromhex("c0000201ca6c")
NONCE = bytes(range(24))
SECRET = bytes(range(32))
OTHER_SECRET = bytes(range(32, 64))
START = 1000.0


def reply_to(
    checker: CookieChecker,
    datagram: bytes,
    *,
    source: bytes = SOURCE,
    secret: bytes = SECRET,
    boot: float = START,
) -> CookieReply:
    reply = checker.create_reply(
        datagram, receiver_index=7, source=source, nonce=NONCE, secret=secret, boot=boot
    )
    return CookieReply.parse(reply)


def refusal(generator: CookieGenerator, reply: CookieReply) -> DropReason:
    with pytest.raises(ProtocolError) as caught:
        generator.consume_reply(reply, START)
    return caught.value.reason


def with_cookie(checker: CookieChecker, source: bytes = SOURCE) -> bytes:
    """Make an initiation that carries the cookie which `checker` gives to `source`."""
    generator = CookieGenerator(RESPONDER)
    datagram = generator.add_macs(WITHOUT_MACS, START)
    generator.consume_reply(reply_to(checker, datagram, source=source), START)
    return generator.add_macs(WITHOUT_MACS, START)


def held(generator: Any) -> tuple[Any, ...]:
    return tuple(getattr(generator, name) for name in type(generator).__slots__)


@pytest.mark.parametrize(("datagram", "called"), [(INITIATION, RESPONDER), (RESPONSE, INITIATOR)])
def test_the_known_mac1(datagram: bytes, called: PublicKey) -> None:
    assert CookieGenerator(called).add_macs(datagram[:-32] + bytes(32), START) == datagram
    assert CookieChecker(called).check_mac1(datagram)


def test_the_known_cookie_reply_leads_to_the_known_mac2() -> None:
    generator = CookieGenerator(RESPONDER)
    assert generator.add_macs(WITHOUT_MACS, START) == INITIATION
    generator.consume_reply(REPLY, START)
    assert generator.add_macs(WITHOUT_MACS, START) == INITIATION[:-16] + MAC2


def test_mac1_names_the_one_who_is_called() -> None:
    assert not CookieChecker(INITIATOR).check_mac1(INITIATION)


@pytest.mark.parametrize("datagram", [INITIATION, RESPONSE], ids=["initiation", "response"])
def test_mac1_refuses_every_flipped_bit(datagram: bytes) -> None:
    checker = CookieChecker(RESPONDER if datagram is INITIATION else INITIATOR)
    for bit in range(8 * (len(datagram) - 16)):
        flipped = bytearray(datagram)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not checker.check_mac1(bytes(flipped)), f"bit {bit}"


def test_mac2_refuses_every_flipped_bit() -> None:
    checker = CookieChecker(RESPONDER)
    datagram = with_cookie(checker)
    assert checker.check_mac2(datagram, SOURCE, START)
    for bit in range(8 * len(datagram)):
        flipped = bytearray(datagram)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not checker.check_mac2(bytes(flipped), SOURCE, START), f"bit {bit}"


def test_no_cookie_is_no_mac2() -> None:
    checker = CookieChecker(RESPONDER)
    assert not checker.check_mac2(INITIATION, SOURCE, START)
    reply_to(checker, INITIATION)
    assert not checker.check_mac2(INITIATION, SOURCE, START)


sources = st.sampled_from([6, 18]).flatmap(lambda size: st.binary(min_size=size, max_size=size))


@given(given_to=sources, used_by=sources)
def test_a_cookie_is_bound_to_where_it_was_given(given_to: bytes, used_by: bytes) -> None:
    checker = CookieChecker(RESPONDER)
    datagram = with_cookie(checker, given_to)
    assert checker.check_mac2(datagram, given_to, START)
    assert checker.check_mac2(datagram, used_by, START) == (given_to == used_by)


@pytest.mark.parametrize("position", range(18))
def test_a_cookie_is_bound_to_each_byte_of_address_and_port(position: int) -> None:
    checker = CookieChecker(RESPONDER)
    source = bytes(range(18))
    elsewhere = bytearray(source)
    elsewhere[position] ^= 1
    datagram = with_cookie(checker, source)
    assert not checker.check_mac2(datagram, bytes(elsewhere), START)


def test_a_secret_serves_120_seconds() -> None:
    checker = CookieChecker(RESPONDER)
    datagram = with_cookie(checker)
    assert checker.check_mac2(datagram, SOURCE, START + 119.9)
    assert not checker.check_mac2(datagram, SOURCE, START + 120)


def test_a_young_secret_is_kept_and_an_old_one_replaced() -> None:
    checker = CookieChecker(RESPONDER)
    datagram = with_cookie(checker)
    reply_to(checker, INITIATION, secret=OTHER_SECRET, boot=START + 119.9)
    assert checker.check_mac2(datagram, SOURCE, START + 119.9)
    reply_to(checker, INITIATION, secret=OTHER_SECRET, boot=START + 120)
    assert not checker.check_mac2(datagram, SOURCE, START + 120)


def test_a_cookie_is_sent_for_115_seconds() -> None:
    generator = CookieGenerator(RESPONDER)
    generator.add_macs(WITHOUT_MACS, START)
    generator.consume_reply(REPLY, START)
    assert generator.add_macs(WITHOUT_MACS, START + 114.9)[-16:] == MAC2
    assert generator.add_macs(WITHOUT_MACS, START + 115)[-16:] == bytes(16)


def test_a_reply_names_and_answers_one_datagram() -> None:
    reply = reply_to(CookieChecker(RESPONDER), INITIATION)
    assert (reply.receiver_index, reply.nonce) == (7, NONCE)
    generator = CookieGenerator(RESPONDER)
    generator.add_macs(bytes(148), START)
    before = held(generator)
    assert refusal(generator, reply) is DropReason.BAD_AEAD
    assert held(generator) == before


def test_a_reply_is_taken_once_for_each_datagram() -> None:
    generator = CookieGenerator(RESPONDER)
    assert refusal(generator, REPLY) is DropReason.UNEXPECTED
    generator.add_macs(WITHOUT_MACS, START)
    generator.consume_reply(REPLY, START)
    assert refusal(generator, REPLY) is DropReason.UNEXPECTED
    generator.add_macs(WITHOUT_MACS, START)
    generator.consume_reply(REPLY, START)


def test_a_bad_reply_does_not_use_up_the_turn_of_the_good_one() -> None:
    generator = CookieGenerator(RESPONDER)
    generator.add_macs(WITHOUT_MACS, START)
    for bit in range(8 * 8, 8 * 64):
        flipped = bytearray(REPLY.build())
        flipped[bit // 8] ^= 1 << bit % 8
        assert refusal(generator, CookieReply.parse(bytes(flipped))) is DropReason.BAD_AEAD
    generator.consume_reply(REPLY, START)
    assert generator.add_macs(WITHOUT_MACS, START)[-16:] == MAC2


def test_a_reply_comes_from_the_one_who_was_called() -> None:
    generator = CookieGenerator(INITIATOR)
    datagram = generator.add_macs(WITHOUT_MACS, START)
    assert refusal(generator, reply_to(CookieChecker(RESPONDER), datagram)) is DropReason.BAD_AEAD


@given(nonce=st.binary(min_size=24, max_size=24), sealed=st.binary(min_size=32, max_size=32))
def test_any_reply_is_a_cookie_or_a_protocol_error(nonce: bytes, sealed: bytes) -> None:
    generator = CookieGenerator(RESPONDER)
    generator.add_macs(WITHOUT_MACS, START)
    assert refusal(generator, CookieReply(1, nonce, sealed)) is DropReason.BAD_AEAD


def test_the_gate_is_all_that_it_takes_and_shows_nothing() -> None:
    checker = CookieChecker(RESPONDER)
    assert (checker.gate.secret, checker.gate.secret_until) == (bytes(32), 0.0)
    reply_to(checker, INITIATION)
    gate = checker.gate
    assert mac(gate.mac1_key, INITIATION[:-32]) == INITIATION[-32:-16]
    assert (gate.secret, gate.secret_until) == (SECRET, START + COOKIE_REFRESH_TIME)
    assert gate.secret.hex() not in repr(gate)
    assert repr(gate.secret) not in repr(gate)
