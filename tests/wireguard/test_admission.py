"""The door: what is refused for which reason, when load begins and ends, and cookies."""

from __future__ import annotations

from random import Random

from kubespan.model.address import Endpoint
from kubespan.model.constants import COOKIE_REFRESH_TIME, UNDER_LOAD_AFTER
from kubespan.model.drop import DropReason
from kubespan.model.keys import PublicKey
from kubespan.noise.cookie import CookieGenerator, Gate
from kubespan.noise.messages import CookieReply
from kubespan.wireguard.admission import Admission
from kubespan.wireguard.ratelimiter import BURST

OURS = PublicKey(bytes(range(32)))
ALICE, BOB = Endpoint.parse("192.0.2.1:1"), Endpoint.parse("192.0.2.2:2")
START = 1000.0
MESSAGE = (1).to_bytes(4, "little") + (0x01020304).to_bytes(4, "little") + bytes(140)


def door(published: list[Gate] | None = None) -> Admission:
    return Admission(OURS, ([] if published is None else published).append)


def with_mac1(boot: float = START) -> bytes:
    return CookieGenerator(OURS).add_macs(MESSAGE, boot)


def with_cookie(admission: Admission, endpoint: Endpoint) -> bytes:
    """Go through a cookie exchange; return the message that shows the cookie."""
    generator = CookieGenerator(OURS)
    datagram = generator.add_macs(MESSAGE, START)
    reply = admission.cookie_reply(datagram, endpoint, START, Random(0).randbytes)
    parsed = CookieReply.parse(reply)
    assert parsed.receiver_index == 0x01020304
    generator.consume_reply(parsed, START)
    return generator.add_macs(MESSAGE, START)


def test_without_load_mac1_is_enough() -> None:
    admission = door()
    for _ in range(100):
        assert admission.refusal(with_mac1(), ALICE, START, queued=UNDER_LOAD_AFTER - 1) is None


def test_without_mac1_nothing_helps() -> None:
    admission = door()
    for queued in (0, UNDER_LOAD_AFTER):
        assert admission.refusal(MESSAGE, ALICE, START, queued=queued) is DropReason.BAD_MAC1
    for_another = CookieGenerator(PublicKey(bytes(32))).add_macs(MESSAGE, START)
    assert admission.refusal(for_another, ALICE, START, queued=0) is DropReason.BAD_MAC1


def test_load_sticks_for_a_second() -> None:
    admission = door()
    datagram = with_mac1()
    admission.refusal(MESSAGE, BOB, START, queued=UNDER_LOAD_AFTER)
    assert admission.refusal(datagram, ALICE, START + 0.999, queued=0) is DropReason.UNDER_LOAD
    assert admission.refusal(datagram, ALICE, START + 1.0, queued=0) is None


def test_under_load_a_cookie_lets_in_as_often_as_the_rate_allows() -> None:
    admission = door()
    from_alice, from_bob = with_cookie(admission, ALICE), with_cookie(admission, BOB)
    outcomes = [
        admission.refusal(from_alice, ALICE, START, queued=UNDER_LOAD_AFTER) for _ in range(7)
    ]
    assert outcomes == [None] * BURST + [DropReason.RATE_LIMITED] * 2
    assert admission.refusal(from_bob, BOB, START, queued=UNDER_LOAD_AFTER) is None


def test_a_cookie_belongs_to_one_address_and_port() -> None:
    admission = door()
    datagram = with_cookie(admission, ALICE)
    for other in (BOB, Endpoint(ALICE.address, 9)):
        refusal = admission.refusal(datagram, other, START, queued=UNDER_LOAD_AFTER)
        assert refusal is DropReason.UNDER_LOAD


def test_without_load_no_rate_is_counted() -> None:
    admission = door()
    datagram = with_cookie(admission, ALICE)
    for _ in range(100):
        assert admission.refusal(datagram, ALICE, START, queued=0) is None
    assert admission.refusal(datagram, ALICE, START, queued=UNDER_LOAD_AFTER) is None


def test_lanes_are_told_to_judge_alike_and_told_again_when_the_secret_is_new() -> None:
    published: list[Gate] = []
    admission = door(published)
    (first,) = published
    assert first.secret_until == 0.0
    chance = Random(0).randbytes
    for boot in (START, START + 1, START + COOKIE_REFRESH_TIME):
        admission.cookie_reply(with_mac1(), ALICE, boot, chance)
    _, second, third = published
    assert (second.mac1_key, second.cookie_key) == (first.mac1_key, first.cookie_key)
    assert second.secret_until == START + COOKIE_REFRESH_TIME
    assert third.secret_until == START + 2 * COOKIE_REFRESH_TIME
    assert len({first.secret, second.secret, third.secret}) == 3
