"""One cluster on the discovery server: its affiliates, and who watches them."""

from __future__ import annotations

from kubespan.discovery.record import AffiliateRecord, Notification
from kubespan.discovery.server.entry import Entry
from kubespan.discovery.server.subscription import Subscription


class Roster:
    """The entries of a cluster by their ids, and its watchers."""

    __slots__ = ("_records", "due_at", "entries", "id", "subscriptions")

    def __init__(self, cluster_id: str) -> None:
        self.id = cluster_id
        self.entries: dict[str, Entry] = {}
        self.subscriptions: dict[Subscription, None] = {}
        self.due_at = float("inf")
        """Nothing in here expires before this; it may be too early, never too late."""
        self._records: tuple[AffiliateRecord, ...] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to keep it for."""
        return not self.entries and not self.subscriptions

    def records(self) -> tuple[AffiliateRecord, ...]:
        """Return everything there is to see; those who ask between two changes share one tuple."""
        if self._records is None:
            self._records = tuple(entry.record for entry in self.entries.values())
        return self._records

    def announce_change(self, entry: Entry) -> int:
        """Tell all watchers what an affiliate is; return how many were too slow and are gone."""
        self._records = None
        return self._tell(Notification((entry.record,))) if self.subscriptions else 0

    def announce_removal(self, affiliate_id: str) -> int:
        """Tell all watchers that an affiliate is gone; return as `announce_change`."""
        self._records = None
        return self._tell(Notification.removal(affiliate_id)) if self.subscriptions else 0

    def _tell(self, change: Notification) -> int:
        slow = [watcher for watcher in self.subscriptions if not watcher.offer(change)]
        for watcher in slow:
            del self.subscriptions[watcher]
        return len(slow)
