"""The state behind the discovery server: clusters, their affiliates, and who watches them.

Does no I/O and reads no clock: `now` is boot seconds, and the same clock in every call. Anyone may
invent a cluster, so memory is bounded: per cluster by the stock service's limits, and over all by
`Capacity`. Discovery service, as observed, with one thing mended: an endpoint that expires is an
update of its affiliate, not a removal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

from kubespan.discovery.record import AffiliateRecord, Notification
from kubespan.discovery.server.entry import Entry, Merge
from kubespan.discovery.server.journal import Journal, NoJournal, Saved
from kubespan.discovery.server.refusal import Refusal, RefusalCode
from kubespan.discovery.server.roster import Roster
from kubespan.discovery.server.subscription import Subscription
from kubespan.discovery.server.validation import check_affiliate_id, check_cluster_id, check_update
from kubespan.model.constants import AFFILIATE_TTL, MAX_AFFILIATES, MAX_ENDPOINTS


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one server takes on; ours to choose, far above what 200 full clusters need."""

    clusters: int = 65_536
    """How many, empty ones included."""

    memory: int = 1 << 30
    """Bytes for everything that was sent, by an estimate that is never too low."""

    subscriptions: int = 65_536
    """How many watchers, over all clusters."""

    cluster_subscriptions: int = 4_096
    """How many watchers of one cluster: each member a few times, while it reconnects."""


class Counts(NamedTuple):
    """How much there is."""

    clusters: int
    affiliates: int
    endpoints: int
    subscriptions: int


class Collected(NamedTuple):
    """What had expired and is gone."""

    clusters: int = 0
    affiliates: int = 0
    endpoints: int = 0
    """Those of affiliates that live on."""

    is_complete: bool = True
    """Whether nothing is left for another call."""


class Registry:
    """All clusters of one server.

    Every call takes `now`, even where it makes no difference here because what has expired stays
    until it is collected: a store that expires by itself could not do without.
    """

    def __init__(self, journal: Journal | None = None, capacity: Capacity | None = None) -> None:
        self._journal = NoJournal() if journal is None else journal
        self._capacity = Capacity() if capacity is None else capacity
        self._rosters: dict[str, Roster] = {}
        self._affiliates = 0
        self._endpoints = 0
        self._subscriptions = 0
        self._memory = 0
        self._is_closed = False

    @property
    def counts(self) -> Counts:
        """How much there is, expired included until it is collected."""
        clusters = len(self._rosters)
        return Counts(clusters, self._affiliates, self._endpoints, self._subscriptions)

    @property
    def memory(self) -> int:
        """Bytes of what `Capacity.memory` bounds."""
        return self._memory

    def update(
        self,
        cluster_id: str,
        affiliate_id: str,
        data: bytes,
        endpoints: Sequence[bytes],
        ttl: float,
        now: float,
    ) -> None:
        """The affiliate has this data, unless it is empty, and these endpoints too, for `ttl`.

        Raises Refusal, and nothing has changed; except when there are more endpoints than fit: then
        data and the endpoints before the first that did not fit are stored and announced.
        """
        check_update(cluster_id, affiliate_id, data, endpoints, ttl)
        self._journal.admit()
        roster = self._roster(cluster_id)
        known = roster.entries.get(affiliate_id)
        entry = self._new_entry(roster, affiliate_id, now) if known is None else known
        self._check_memory(entry.growth(data, endpoints) + (entry.cost if known is None else 0))
        if known is None:
            self._add(roster, entry)
        merge = self._merge(roster, entry, data, endpoints, now + ttl)
        self._journal.put(entry.saved(cluster_id))
        if known is None or merge.is_news:
            self._subscriptions -= roster.announce_change(entry)
        if merge.is_cut:
            raise _exhausted(f"the affiliate has {MAX_ENDPOINTS} endpoints, which is the most")

    def delete(self, cluster_id: str, affiliate_id: str, now: float) -> None:  # noqa: ARG002
        """There is no such affiliate, if there was one. Raises Refusal, and nothing changed."""
        check_cluster_id(cluster_id)
        check_affiliate_id(affiliate_id)
        self._journal.admit()
        roster = self._mentioned(cluster_id)
        if roster is not None and affiliate_id in roster.entries:
            self._remove(roster, roster.entries[affiliate_id])

    def list(self, cluster_id: str, now: float) -> tuple[AffiliateRecord, ...]:  # noqa: ARG002
        """Return all affiliates of a cluster, in no order to rely on. Raises Refusal."""
        check_cluster_id(cluster_id)
        roster = self._mentioned(cluster_id)
        return () if roster is None else roster.records()

    def watch(self, cluster_id: str, now: float) -> Subscription:  # noqa: ARG002
        """Return what will tell all affiliates of a cluster first, then each change.

        It counts until it is closed or has lost a change. Raises Refusal.
        """
        check_cluster_id(cluster_id)
        if self._subscriptions >= self._capacity.subscriptions:
            raise _exhausted("the server has as many watchers as it takes")
        roster = self._roster(cluster_id)
        if len(roster.subscriptions) >= self._capacity.cluster_subscriptions:
            raise _exhausted("the cluster has as many watchers as it may")
        subscription = Subscription(Notification(roster.records()), self._leave(roster))
        if self._is_closed:
            subscription.end()
            return subscription
        roster.subscriptions[subscription] = None
        self._subscriptions += 1
        return subscription

    def collect(self, now: float, most: int | None = None) -> Collected:
        """What had expired before `now` is gone, and so are clusters without any use.

        With `most`, at least 1, stop after so many changes or clusters that were looked through,
        so that watchers, of whom each holds 32 changes, can take them before the next call.
        """
        affiliates = endpoints = steps = 0
        for removed, dropped in islice(self._expire(now), most):
            affiliates += removed
            endpoints += dropped
            steps += 1
        if steps == most:
            return Collected(0, affiliates, endpoints, is_complete=False)
        idle = [cluster_id for cluster_id, roster in self._rosters.items() if roster.is_idle]
        for cluster_id in idle:
            del self._rosters[cluster_id]
        return Collected(len(idle), affiliates, endpoints)

    def close_subscriptions(self) -> None:
        """Every watcher is told what waits and then that this was all; so is whoever comes now."""
        self._is_closed = True
        for roster in self._rosters.values():
            ended, roster.subscriptions = roster.subscriptions, {}
            self._subscriptions -= len(ended)
            for subscription in ended:
                subscription.end()

    def restore(self, everything: Iterable[Saved], now: float) -> int:
        """What was saved is here again, unless it has expired; return how many affiliates are.

        Nothing outlives `now` by more than the longest TTL. What is not taken over, because it has
        expired or is beyond the capacity, is removed from the journal. For an empty registry.
        """
        for saved in everything:
            entry = _revive(saved, now)
            if entry is None or not self._has_room(saved.cluster_id, entry):
                self._journal.remove(saved.cluster_id, saved.affiliate_id)
                continue
            self._add(self._roster(saved.cluster_id), entry)
            if len(entry.endpoints) < len(saved.endpoints):
                self._journal.put(entry.saved(saved.cluster_id))
        return self._affiliates

    def _roster(self, cluster_id: str) -> Roster:
        roster = self._mentioned(cluster_id)
        if roster is None:
            raise _exhausted("the server has as many clusters as it takes")
        return roster

    def _mentioned(self, cluster_id: str) -> Roster | None:
        """Return the cluster, which begins with its first mention, or None if there is no room."""
        roster = self._rosters.get(cluster_id)
        if roster is None and len(self._rosters) < self._capacity.clusters:
            roster = self._rosters[cluster_id] = Roster(cluster_id)
        return roster

    def _new_entry(self, roster: Roster, affiliate_id: str, now: float) -> Entry:
        if len(roster.entries) >= MAX_AFFILIATES:
            raise _exhausted(f"the cluster has {MAX_AFFILIATES} affiliates, which is the most")
        return Entry(affiliate_id, now)

    def _check_memory(self, more: int) -> None:
        # What does not grow is never refused, so that members of a full server stay on it.
        if more > 0 and self._memory + more > self._capacity.memory:
            raise _exhausted("the server has no memory left for this")

    def _has_room(self, cluster_id: str, entry: Entry) -> bool:
        if self._memory + entry.cost > self._capacity.memory:
            return False
        roster = self._mentioned(cluster_id)
        return roster is not None and len(roster.entries) < MAX_AFFILIATES

    def _add(self, roster: Roster, entry: Entry) -> None:
        roster.entries[entry.id] = entry
        roster.due_at = min(roster.due_at, entry.due_at)
        self._affiliates += 1
        self._endpoints += len(entry.endpoints)
        self._memory += entry.cost

    def _merge(
        self, roster: Roster, entry: Entry, data: bytes, endpoints: Sequence[bytes], at: float
    ) -> Merge:
        cost, known = entry.cost, len(entry.endpoints)
        merge = entry.merge(data, endpoints, at)
        self._memory += entry.cost - cost
        self._endpoints += len(entry.endpoints) - known
        roster.due_at = min(roster.due_at, entry.due_at)
        return merge

    def _remove(self, roster: Roster, entry: Entry) -> None:
        del roster.entries[entry.id]
        self._affiliates -= 1
        self._endpoints -= len(entry.endpoints)
        self._memory -= entry.cost
        self._journal.remove(roster.id, entry.id)
        self._subscriptions -= roster.announce_removal(entry.id)

    def _expire(self, now: float) -> Iterator[tuple[int, int]]:
        """Iterate over steps: how many affiliates each removes, how many endpoints it drops."""
        for roster in self._rosters.values():
            if roster.due_at >= now:
                continue
            for entry in [entry for entry in roster.entries.values() if entry.due_at < now]:
                if entry.expires_at < now:
                    self._remove(roster, entry)
                    yield 1, 0
                elif dropped := self._drop_endpoints(roster, entry, now):
                    yield 0, dropped
            # Only here, past all of them: whoever stops in between finds the rest another time.
            roster.due_at = min((e.due_at for e in roster.entries.values()), default=math.inf)
            yield 0, 0

    def _drop_endpoints(self, roster: Roster, entry: Entry, now: float) -> int:
        cost = entry.cost
        dropped = entry.expire(now)
        if dropped:
            self._memory += entry.cost - cost
            self._endpoints -= dropped
            self._journal.put(entry.saved(roster.id))
            self._subscriptions -= roster.announce_change(entry)
        return dropped

    def _leave(self, roster: Roster) -> Callable[[Subscription], None]:
        def leave(subscription: Subscription) -> None:
            if subscription in roster.subscriptions:
                del roster.subscriptions[subscription]
                self._subscriptions -= 1

        return leave


def _revive(saved: Saved, now: float) -> Entry | None:
    """Return what has not expired before `now`, cut to the longest TTL."""
    latest = now + AFFILIATE_TTL
    if saved.expires_at < now:
        return None
    endpoints = tuple((e, min(at, latest)) for e, at in saved.endpoints if at >= now)
    return Entry.restored(
        replace(saved, expires_at=min(saved.expires_at, latest), endpoints=endpoints)
    )


def _exhausted(message: str) -> Refusal:
    return Refusal(RefusalCode.RESOURCE_EXHAUSTED, message)
