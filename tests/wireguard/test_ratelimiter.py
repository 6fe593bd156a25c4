"""The token bucket: burst, refill, what counts as one source, and the bound on memory."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest

from kubespan.model.address import IPAddress
from kubespan.wireguard.ratelimiter import BURST, RateLimiter

ALICE, BOB = ip_address("192.0.2.1"), ip_address("192.0.2.2")
START = 1000.0


def burst(
    limiter: RateLimiter, address: IPAddress = ALICE, at: float = START, size: int = 20
) -> int:
    return sum(limiter.allow(address, at) for _ in range(size))


def test_a_burst_then_nothing() -> None:
    assert burst(RateLimiter()) == BURST == 5


@pytest.mark.parametrize(
    ("waited", "allowed"),
    [(0.0, 0), (0.049, 0), (0.05, 1), (0.099, 1), (0.1, 2), (0.25, 5), (100.0, 5)],
)
def test_credit_comes_back_with_time(waited: float, allowed: int) -> None:
    limiter = RateLimiter()
    burst(limiter)
    assert burst(limiter, at=START + waited) == allowed


def test_twenty_in_a_second_is_the_rate() -> None:
    limiter = RateLimiter()
    burst(limiter)
    moments = [START + milliseconds / 1000 for milliseconds in range(1, 1001)]
    assert sum(limiter.allow(ALICE, moment) for moment in moments) == 20


def test_a_refused_packet_costs_nothing() -> None:
    limiter = RateLimiter()
    burst(limiter, size=1000)
    assert limiter.allow(ALICE, START + 0.05)


def test_sources_do_not_disturb_each_other() -> None:
    limiter = RateLimiter()
    burst(limiter, ALICE)
    assert burst(limiter, BOB) == BURST


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:0:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::192.0.2.1", False),
    ],
)
def test_an_ipv6_source_is_its_first_64_bits(one: str, other: str, is_same: bool) -> None:
    limiter = RateLimiter()
    burst(limiter, ip_address(one))
    assert limiter.allow(ip_address(other), START) is not is_same


def test_a_full_table_refuses_new_sources_and_keeps_the_old() -> None:
    limiter = RateLimiter(max_sources=3)
    addresses = [IPv4Address(number) for number in range(5)]
    assert [limiter.allow(address, START) for address in addresses] == [True] * 3 + [False] * 2
    assert limiter.allow(addresses[0], START)
    assert len(limiter) == 3


def test_idle_sources_make_room() -> None:
    limiter = RateLimiter(max_sources=3)
    for number in range(3):
        limiter.allow(IPv4Address(number), START)
    limiter.allow(IPv4Address(0), START + 0.9)
    assert limiter.allow(BOB, START + 1.0)
    assert len(limiter) == 2


def test_collection_is_not_repeated_for_each_new_source() -> None:
    limiter = RateLimiter(max_sources=1)
    assert limiter.allow(ALICE, START)
    assert not limiter.allow(BOB, START + 0.999)
    assert limiter.allow(BOB, START + 1.5)
    assert not limiter.allow(ALICE, START + 2.4)
