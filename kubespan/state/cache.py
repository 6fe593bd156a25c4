"""Whom a node knew when it last ran, so that it finds its peers again without any discovery.

One file in the state directory, sealed with the cluster's secret and bound to the cluster's id, so
that it tells a thief nothing and another cluster's is not taken for ours. It is only ever a help:
one that cannot be used is said once and is as good as none. Reads no clock; times are seconds since
1970, because they must mean something after a reboot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from operator import attrgetter
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from kubespan.discovery.hostile import BlobReason, BlobRefused, sifted
from kubespan.discovery.message import (
    build_affiliate,
    build_endpoint,
    parse_affiliate,
    parse_endpoint,
)
from kubespan.discovery.proto import cache_pb2
from kubespan.discovery.seal import open_bytes, seal_bytes
from kubespan.model.address import Endpoint
from kubespan.model.cluster import ClusterSecret
from kubespan.model.constants import MAX_AFFILIATES, MAX_ENDPOINTS
from kubespan.model.errors import SystemFault
from kubespan.model.resources import Affiliate
from kubespan.state.file import read_file, replace_file

CACHE_NAME: Final = "affiliates.cache"
OTHERS_NAME: Final = "affiliates.cache.other"
"""What another secret opens, or none."""

MAX_CACHE_AGE: Final = 7 * 24 * 3600.0
"""Seconds after which a member that was not heard of is forgotten.

Long enough for a discovery service that is gone over a long weekend; short enough that a machine
which was taken away does not keep its addresses for good.
"""

MAX_CACHE_SIZE: Final = 8 * 2**20
"""Bytes of the file. All that one service may keep of a cluster is half of it."""

_MAGIC: Final = b"kscache1"
_PURPOSE: Final = b"kubespan affiliate cache\0"
_OVERHEAD: Final = 64
_ENTRY_OVERHEAD: Final = 8
"""Bytes of an entry's tag and length, or more."""


class CacheFault(Enum):
    """Why a cache is not used, as it completes "the cache of members ..."."""

    UNREADABLE = "cannot be read"
    TOO_LARGE = "is larger than one of ours can be"
    FOREIGN = "is not a file of ours"
    NOT_OPENED = "is damaged, or belongs to another cluster"
    NOT_A_MESSAGE = "was written by another version"


@dataclass(frozen=True, slots=True)
class Remembered:
    """A member, and when it was last heard of."""

    affiliate: Affiliate
    seen_at: int
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """What came of reading a cache."""

    members: tuple[Remembered, ...] = ()
    """The last heard of first."""

    fault: CacheFault | None = None
    """Why there is nothing, if there is something wrong. A cache not yet written is no fault."""

    refusals: tuple[BlobReason, ...] = ()
    """Why single members were left out."""


class AffiliateCache:
    """The cache of one cluster's members. Saving takes as long as the disk does."""

    def __init__(self, directory: Path, cluster_id: str, secret: ClusterSecret) -> None:
        self.path = directory / CACHE_NAME
        self._others = directory / OTHERS_NAME
        self._context = _PURPOSE + cluster_id.encode()
        self._secret = secret

    def load(self, now: float) -> Recalled:
        """Return who was heard of in the last 7 days before `now`. Never raises.

        Who was heard of after `now` is kept: clocks start anywhere until they are set.

        A cache that our secret does not open is set aside, and taken back at a start whose secret
        does: nobody is forgotten because a secret was mistyped once.
        """
        recalled = self._read(self.path, now)
        if recalled.members:
            return recalled
        set_aside = self._read(self._others, now)
        with suppress(OSError):
            if set_aside.members:
                self._others.replace(self.path)
            elif recalled.fault is CacheFault.NOT_OPENED and not self._is_kept(now):
                self.path.replace(self._others)
        return set_aside if set_aside.members else recalled

    def save(self, members: Iterable[Remembered], nonce: bytes) -> None:
        """Write the cache anew; afterwards it is on the disk. Raises SystemFault.

        `nonce` is 12 fresh random bytes.
        """
        replace_file(self.path, self.build(members, nonce))

    def build(self, members: Iterable[Remembered], nonce: bytes) -> bytes:
        """Seal members, the last heard of first, as many as there is room for."""
        message = cache_pb2.Members(members=_fitting(members))
        plain = message.SerializeToString(deterministic=True)
        return _MAGIC + seal_bytes(self._secret.raw, nonce, plain, self._context)

    def parse(self, content: bytes, now: float) -> Recalled:
        """Open what `build` made. Never raises, whatever is in it."""
        if len(content) > MAX_CACHE_SIZE:
            return Recalled(fault=CacheFault.TOO_LARGE)
        if not content.startswith(_MAGIC):
            return Recalled(fault=CacheFault.FOREIGN)
        try:
            plain = open_bytes(self._secret.raw, content[len(_MAGIC) :], self._context)
            entries = cache_pb2.Members.FromString(plain).members
        except BlobRefused:
            return Recalled(fault=CacheFault.NOT_OPENED)
        except DecodeError:
            return Recalled(fault=CacheFault.NOT_A_MESSAGE)
        recent = [entry for entry in entries if now - entry.seen_at <= MAX_CACHE_AGE]
        members, refusals = sifted(_remembered, recent, MAX_AFFILIATES)
        return Recalled(members, refusals=refusals)

    def _is_kept(self, now: float) -> bool:
        """Tell whether one is set aside that may be of use: a second wrong secret is none."""
        return self._others.exists() and now - self._others.stat().st_mtime < MAX_CACHE_AGE

    def _read(self, path: Path, now: float) -> Recalled:
        try:
            content = read_file(path, MAX_CACHE_SIZE)
        except SystemFault:
            return Recalled(fault=CacheFault.UNREADABLE)
        return Recalled() if content is None else self.parse(content, now)


def _fitting(members: Iterable[Remembered]) -> Iterator[cache_pb2.Member]:
    # One that cannot be written is left out; the others are not lost for it.
    latest = sorted(members, key=attrgetter("seen_at"), reverse=True)
    entries, _ = sifted(_encoded, latest, MAX_AFFILIATES)
    room = MAX_CACHE_SIZE - _OVERHEAD
    for data, endpoints, seen_at in entries:
        entry = cache_pb2.Member(affiliate=data, endpoints=endpoints, seen_at=seen_at)
        room -= entry.ByteSize() + _ENTRY_OVERHEAD
        if room < 0:
            return
        yield entry


def _encoded(member: Remembered) -> tuple[bytes, tuple[bytes, ...], int]:
    kubespan = member.affiliate.kubespan
    endpoints: tuple[Endpoint, ...] = () if kubespan is None else kubespan.endpoints
    built, _ = sifted(build_endpoint, endpoints, MAX_ENDPOINTS)
    return build_affiliate(member.affiliate), built, member.seen_at


def _remembered(entry: cache_pb2.Member) -> Remembered:
    affiliate = parse_affiliate(entry.affiliate)
    if affiliate.kubespan is not None:
        endpoints, _ = sifted(parse_endpoint, entry.endpoints, MAX_ENDPOINTS)
        affiliate = replace(affiliate, kubespan=replace(affiliate.kubespan, endpoints=endpoints))
    return Remembered(affiliate, entry.seen_at)
