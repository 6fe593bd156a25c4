"""The discovery service's state as one would first write it down: slow and plain.

Written from the description of the behaviour, not from the registry, to be compared with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class NaiveEndpoint:
    """One endpoint."""

    value: bytes
    expires_at: float


@dataclass
class NaiveAffiliate:
    """One affiliate, its endpoints in the order in which they came."""

    expires_at: float
    data: bytes = b""
    endpoints: list[NaiveEndpoint] = field(default_factory=list)


Shown = tuple[str, bytes, tuple[bytes, ...]]
Message = tuple[bool, tuple[Shown, ...]]


class NaiveWatcher:
    """What one watcher was sent and has not read."""

    def __init__(self, snapshot: Message) -> None:
        self.unread = [snapshot]
        self.has_read_snapshot = False
        self.is_lost = False

    def send(self, message: Message) -> None:
        changes = len(self.unread) - (not self.has_read_snapshot)
        if changes == 32:
            self.is_lost = True
            self.unread = []
        elif not self.is_lost:
            self.unread.append(message)

    def read(self) -> Message | None:
        if not self.unread:
            return None
        self.has_read_snapshot = True
        return self.unread.pop(0)


class NaiveCluster:
    """One cluster."""

    def __init__(self) -> None:
        self.affiliates: dict[str, NaiveAffiliate] = {}
        self.watchers: list[NaiveWatcher] = []

    def shown(self, name: str) -> Shown:
        affiliate = self.affiliates[name]
        return name, affiliate.data, tuple(e.value for e in affiliate.endpoints)

    def everything(self) -> tuple[Shown, ...]:
        return tuple(self.shown(name) for name in self.affiliates)

    def tell(self, name: str, *, deleted: bool) -> None:
        message = (deleted, ((name, b"", ()) if deleted else self.shown(name),))
        for watcher in self.watchers:
            watcher.send(message)


class NaiveRegistry:
    """All clusters."""

    def __init__(self) -> None:
        self.clusters: dict[str, NaiveCluster] = {}

    def cluster(self, name: str) -> NaiveCluster:
        return self.clusters.setdefault(name, NaiveCluster())

    def update(
        self, cluster: str, name: str, data: bytes, endpoints: list[bytes], ttl: float, now: float
    ) -> bool:
        """Return whether all of it fitted."""
        home = self.cluster(cluster)
        changed = name not in home.affiliates
        affiliate = home.affiliates.setdefault(name, NaiveAffiliate(now))
        if data:
            affiliate.data, affiliate.expires_at, changed = data, now + ttl, True
        fitted = True
        for value in endpoints:
            same = [e for e in affiliate.endpoints if e.value == value]
            if same:
                same[0].expires_at = max(same[0].expires_at, now + ttl)
            elif len(affiliate.endpoints) == 64:
                fitted = False
                break
            else:
                affiliate.endpoints.append(NaiveEndpoint(value, now + ttl))
                changed = True
        if fitted:
            affiliate.expires_at = max(affiliate.expires_at, now + ttl)
        if changed:
            home.tell(name, deleted=False)
        return fitted

    def delete(self, cluster: str, name: str) -> None:
        home = self.cluster(cluster)
        if home.affiliates.pop(name, None) is not None:
            home.tell(name, deleted=True)

    def watch(self, cluster: str) -> NaiveWatcher:
        home = self.cluster(cluster)
        watcher = NaiveWatcher((False, home.everything()))
        home.watchers.append(watcher)
        return watcher

    def collect(self, now: float) -> None:
        for cluster in list(self.clusters):
            home = self.clusters[cluster]
            for name, affiliate in list(home.affiliates.items()):
                alive = [e for e in affiliate.endpoints if not e.expires_at < now]
                if affiliate.expires_at < now:
                    self.delete(cluster, name)
                elif len(alive) < len(affiliate.endpoints):
                    affiliate.endpoints = alive
                    home.tell(name, deleted=False)
            home.watchers = [w for w in home.watchers if not w.is_lost]
            if not home.affiliates and not home.watchers:
                del self.clusters[cluster]
