"""The cache of members: there and back, whose it is, how old it may be, and any rubbish."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.discovery.hostile import BlobReason
from kubespan.discovery.proto import cache_pb2
from kubespan.discovery.seal import seal_bytes
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.cluster import ClusterSecret
from kubespan.model.errors import SystemFault
from kubespan.model.keys import PublicKey
from kubespan.model.resources import Affiliate, KubeSpanAffiliate, MachineType
from kubespan.state.cache import (
    MAX_CACHE_AGE,
    MAX_CACHE_SIZE,
    AffiliateCache,
    CacheFault,
    Recalled,
    Remembered,
)
from tests.discovery import strategies

SECRET = ClusterSecret(bytes(range(32)))
NONCE = bytes(12)
NOW = 1_800_000_000
ANYWHERE = Path("nowhere")

SPAN = KubeSpanAffiliate(
    PublicKey(bytes(32)), IPv6Address("fd00::1"), endpoints=(Endpoint.parse("192.0.2.1:1"),)
)
PEER = Affiliate("peer", (IPv4Address("192.0.2.1"),), kubespan=SPAN)
BARE = Affiliate("n", machine_type=MachineType.WORKER)
"""What is understood of an affiliate that says nothing but its id."""

BYSTANDER = Affiliate("bystander", hostname="plain.example.org")


def cache(directory: Path = ANYWHERE, cluster_id: str = "id") -> AffiliateCache:
    return AffiliateCache(directory, cluster_id, SECRET)


def heard(*affiliates: Affiliate, at: int = NOW) -> list[Remembered]:
    return [Remembered(affiliate, at) for affiliate in affiliates]


def recalled(members: list[Remembered]) -> Recalled:
    """Return what is left of members that were built and parsed."""
    return cache().parse(cache().build(members, NONCE), NOW)


def sealed(plain: bytes) -> bytes:
    """Build a cache of any content."""
    whole = cache().build([], NONCE)
    return whole[:8] + seal_bytes(SECRET.raw, NONCE, plain, b"kubespan affiliate cache\0id")


# There and back.


def test_a_restart_finds_everybody(tmp_path: Path) -> None:
    members = heard(PEER, BYSTANDER)
    cache(tmp_path).save(members, NONCE)
    assert cache(tmp_path).load(NOW) == Recalled(tuple(members))


def test_before_anything_was_saved_there_is_nobody(tmp_path: Path) -> None:
    assert cache(tmp_path).load(NOW) == Recalled()


def test_the_file_is_private_and_whole(tmp_path: Path) -> None:
    here = cache(tmp_path)
    here.save(heard(PEER, BYSTANDER), NONCE)
    here.save(heard(PEER), NONCE)
    assert [path.name for path in tmp_path.iterdir()] == [here.path.name]
    assert stat.S_IMODE(here.path.stat().st_mode) == 0o600
    assert b"example" not in here.path.read_bytes()


@given(st.lists(strategies.affiliates, max_size=4, unique=True))
def test_members_are_the_same_there_and_back(affiliates: list[Affiliate]) -> None:
    assert recalled(heard(*affiliates)) == Recalled(tuple(heard(*affiliates)))


def test_the_last_heard_of_comes_first() -> None:
    members = [*heard(PEER, at=NOW - 9), *heard(BYSTANDER, at=NOW - 3)]
    assert recalled(members).members == (members[1], members[0])


def test_nowhere_to_save_is_the_system_s_fault(tmp_path: Path) -> None:
    with pytest.raises(SystemFault):
        cache(tmp_path / "none").save([], NONCE)


# Whose it is.


def test_another_cluster_s_is_not_used() -> None:
    content = cache().build(heard(PEER), NONCE)
    assert cache(cluster_id="other").parse(content, NOW).fault is CacheFault.NOT_OPENED
    stranger = AffiliateCache(ANYWHERE, "id", ClusterSecret(bytes(32)))
    assert stranger.parse(content, NOW) == Recalled(fault=CacheFault.NOT_OPENED)


def test_an_affiliate_of_the_service_is_no_cache() -> None:
    content = cache().build([], NONCE)[:8] + seal_bytes(SECRET.raw, NONCE, b"")
    assert cache().parse(content, NOW).fault is CacheFault.NOT_OPENED


def test_what_is_not_ours_is_not_used(tmp_path: Path) -> None:
    here = cache(tmp_path)
    for content in (b"", b"kscache", b"members: []\n", bytes(1000)):
        here.path.write_bytes(content)
        assert here.load(NOW) == Recalled(fault=CacheFault.FOREIGN)


def test_a_torn_file_is_not_used() -> None:
    content = cache().build(heard(PEER), NONCE)
    faults = {cache().parse(content[:size], NOW).fault for size in range(8, len(content))}
    assert faults == {CacheFault.NOT_OPENED}


def test_what_cannot_be_read_is_not_used(tmp_path: Path) -> None:
    here = cache(tmp_path)
    here.path.mkdir()
    assert here.load(NOW) == Recalled(fault=CacheFault.UNREADABLE)


def test_an_oversized_file_is_not_used(tmp_path: Path) -> None:
    here = cache(tmp_path)
    here.save(heard(PEER), NONCE)
    os.truncate(here.path, MAX_CACHE_SIZE + 1)
    assert here.load(NOW) == Recalled(fault=CacheFault.TOO_LARGE)
    os.truncate(here.path, MAX_CACHE_SIZE)
    assert here.load(NOW) == Recalled(fault=CacheFault.NOT_OPENED)


def test_a_file_of_another_version_is_not_used() -> None:
    assert cache().parse(sealed(b"\xff"), NOW) == Recalled(fault=CacheFault.NOT_A_MESSAGE)


def test_a_bad_file_is_replaced_with_the_next_save(tmp_path: Path) -> None:
    here = cache(tmp_path)
    here.path.write_bytes(b"rubbish")
    here.save(heard(PEER), NONCE)
    assert here.load(NOW) == Recalled(tuple(heard(PEER)))


# How old, how many, how large.


def test_a_mistyped_secret_forgets_nobody(tmp_path: Path) -> None:
    mistyped = AffiliateCache(tmp_path, "id", ClusterSecret(bytes(32)))
    cache(tmp_path).save(heard(PEER), NONCE)
    assert mistyped.load(NOW) == Recalled(fault=CacheFault.NOT_OPENED)
    mistyped.save(heard(BYSTANDER), NONCE)
    assert [one.affiliate for one in cache(tmp_path).load(NOW).members] == [PEER]
    assert [one.affiliate for one in cache(tmp_path).load(NOW).members] == [PEER]


def test_a_mistyped_secret_forgets_nobody_though_nothing_was_saved(tmp_path: Path) -> None:
    mistyped = AffiliateCache(tmp_path, "id", ClusterSecret(bytes(32)))
    cache(tmp_path).save(heard(PEER), NONCE)
    assert mistyped.load(NOW).fault is CacheFault.NOT_OPENED
    assert mistyped.load(NOW) == Recalled()
    assert [one.affiliate for one in cache(tmp_path).load(NOW).members] == [PEER]


def test_a_secret_that_is_mistyped_twice_forgets_nobody(tmp_path: Path) -> None:
    cache(tmp_path).save(heard(PEER), NONCE)
    for wrong in (1, 2):
        mistyped = AffiliateCache(tmp_path, "id", ClusterSecret(bytes([wrong]) * 32))
        assert not mistyped.load(NOW).members
        os.utime(tmp_path / "affiliates.cache.other", (NOW, NOW))
        mistyped.save([], NONCE)
    assert [one.affiliate for one in cache(tmp_path).load(NOW).members] == [PEER]


def test_what_was_set_aside_long_ago_gives_way(tmp_path: Path) -> None:
    cache(tmp_path).save(heard(PEER), NONCE)
    mistyped = AffiliateCache(tmp_path, "id", ClusterSecret(bytes(32)))
    mistyped.load(NOW)
    os.utime(tmp_path / "affiliates.cache.other", (0, 0))
    AffiliateCache(tmp_path, "id", ClusterSecret(bytes([1]) * 32)).save(heard(PEER), NONCE)
    mistyped.load(NOW)
    assert not (tmp_path / "affiliates.cache").exists()


def test_who_was_not_heard_of_for_a_week_is_forgotten() -> None:
    at_once = NOW - int(MAX_CACHE_AGE)
    members = [*heard(PEER, at=at_once), *heard(BYSTANDER, at=at_once - 1)]
    assert recalled(members) == Recalled(tuple(members[:1]))


def test_a_clock_that_was_not_set_yet_forgets_nobody() -> None:
    content = cache().build(heard(PEER), NONCE)
    assert cache().parse(content, 0.0) == Recalled(tuple(heard(PEER)))


def test_no_more_are_kept_than_a_cluster_can_have() -> None:
    crowd = [Remembered(Affiliate(f"{number:04}"), NOW - number) for number in range(1030)]
    assert recalled(crowd) == Recalled(tuple(crowd[:1024]))
    entry = cache_pb2.Member(affiliate=b"\x0a\x01n", seen_at=NOW)
    many = sealed(cache_pb2.Members(members=[entry] * 1025).SerializeToString())
    assert cache().parse(many, NOW) == Recalled(tuple(heard(BARE)), refusals=(BlobReason.TOO_MANY,))


def test_the_file_never_grows_beyond_what_is_read() -> None:
    networks = tuple(Prefix(6, number << 64, 128) for number in range(1, 257))
    span = KubeSpanAffiliate(PublicKey(bytes(32)), None, networks, (), networks)
    crowd = heard(*(Affiliate(f"{number:04}", kubespan=span) for number in range(1000)))
    content = cache().build(crowd, NONCE)
    assert MAX_CACHE_SIZE - 20_000 < len(content) <= MAX_CACHE_SIZE
    kept = cache().parse(content, NOW).members
    assert kept == tuple(crowd[: len(kept)])
    assert 0 < len(kept) < 1000


# Members that cannot be used.


def test_one_that_cannot_be_written_does_not_cost_the_others() -> None:
    ugly = Affiliate("ugly", hostname="\x1b[2J")
    nowhere = replace(PEER, kubespan=replace(SPAN, endpoints=(Endpoint.parse("[::]:1"),)))
    bare = replace(PEER, kubespan=replace(SPAN, endpoints=()))
    assert recalled(heard(ugly, nowhere, BYSTANDER)) == Recalled(tuple(heard(bare, BYSTANDER)))


def test_one_that_cannot_be_read_does_not_cost_the_others() -> None:
    good = cache_pb2.Member(affiliate=b"\x0a\x01n", endpoints=[b"\xff"], seen_at=NOW)
    bad = cache_pb2.Member(affiliate=b"\xff", seen_at=NOW)
    content = sealed(cache_pb2.Members(members=[bad, good]).SerializeToString())
    assert cache().parse(content, NOW) == Recalled(
        tuple(heard(BARE)), refusals=(BlobReason.NOT_A_MESSAGE,)
    )


@given(st.binary(max_size=100))
def test_rubbish_is_nobody_and_nothing_worse(data: bytes) -> None:
    assert cache().parse(data, NOW).members == ()
    assert cache().parse(cache().build([], NONCE)[:8] + data, NOW).fault is CacheFault.NOT_OPENED


@given(st.binary(max_size=100))
def test_rubbish_under_our_own_seal_is_nothing_worse(plain: bytes) -> None:
    cache().parse(sealed(plain), NOW)
    entry = cache_pb2.Member(affiliate=plain, endpoints=[plain], seen_at=NOW)
    cache().parse(sealed(cache_pb2.Members(members=[entry]).SerializeToString()), NOW)
