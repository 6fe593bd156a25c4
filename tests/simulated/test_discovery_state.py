"""The discovery server's state against a naive one, under any schedule, in virtual time.

Every so often the server dies and begins again with what its journal has.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kubespan.discovery.record import AffiliateRecord, Notification
from kubespan.discovery.server.entry import Entry
from kubespan.discovery.server.journal import Saved
from kubespan.discovery.server.refusal import Refusal
from kubespan.discovery.server.registry import Counts, Registry
from kubespan.discovery.server.subscription import Subscription
from tests.simulated.naive_registry import Message, NaiveRegistry, NaiveWatcher, Shown

CLUSTERS = st.sampled_from(["c", "d"])
NAMES = st.sampled_from(["a", "b", "é\0"])
DATA = st.sampled_from([b"", b"1", b"22"])
SOME = st.lists(st.integers(0, 69).map(lambda number: bytes([number])), max_size=4)
MANY = st.integers(0, 40).map(lambda first: [bytes([n]) for n in range(first, first + 30)])
TTLS = st.sampled_from([0.0, -1.0, 60.0, 61.0, 900.0, 1800.0])
STEPS = st.sampled_from([0.0, 1.0, 60.0, 899.0, 1801.0])


class Notes:
    """A journal in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Saved] = {}

    def admit(self) -> None:
        """Admit everything."""

    def put(self, saved: Saved) -> None:
        self.kept[saved.cluster_id, saved.affiliate_id] = saved

    def remove(self, cluster_id: str, affiliate_id: str) -> None:
        self.kept.pop((cluster_id, affiliate_id), None)


def shown(records: tuple[AffiliateRecord, ...]) -> tuple[Shown, ...]:
    return tuple((each.id, each.data, each.endpoints) for each in records)


def message(notification: Notification | None) -> Message | None:
    if notification is None:
        return None
    return notification.deleted, tuple(sorted(shown(notification.affiliates)))


class Schedule(RuleBasedStateMachine):
    """Anything that callers and time may do, to both."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.notes = Notes()
        self.real = Registry(self.notes)
        self.naive = NaiveRegistry()
        self.watchers: list[tuple[Subscription, NaiveWatcher]] = []

    @rule(cluster=CLUSTERS, name=NAMES, data=DATA, endpoints=SOME | MANY, ttl=TTLS)
    def update(
        self, cluster: str, name: str, data: bytes, endpoints: list[bytes], ttl: float
    ) -> None:
        fitted = True
        try:
            self.real.update(cluster, name, data, endpoints, ttl, self.now)
        except Refusal:
            fitted = False
        assert fitted == self.naive.update(cluster, name, data, endpoints, ttl, self.now)

    @rule(cluster=CLUSTERS, name=NAMES, times=st.integers(1, 40))
    def churn(self, cluster: str, name: str, times: int) -> None:
        for number in range(times):
            self.update(cluster, name, bytes([number]), [], 60.0)

    @rule(cluster=CLUSTERS, name=NAMES)
    def delete(self, cluster: str, name: str) -> None:
        self.real.delete(cluster, name, self.now)
        self.naive.delete(cluster, name)

    @rule(cluster=CLUSTERS)
    def watch(self, cluster: str) -> None:
        self.watchers.append((self.real.watch(cluster, self.now), self.naive.watch(cluster)))

    @precondition(lambda self: self.watchers)
    @rule(choice=st.data(), count=st.integers(1, 40))
    def read(self, choice: Any, count: int) -> None:
        real, naive = choice.draw(st.sampled_from(self.watchers))
        for _ in range(count):
            wanted = naive.read()
            assert message(real.take()) == (wanted and (wanted[0], tuple(sorted(wanted[1]))))

    @precondition(lambda self: self.watchers)
    @rule(choice=st.data())
    def leave(self, choice: Any) -> None:
        pair = choice.draw(st.sampled_from(self.watchers))
        self.watchers.remove(pair)
        pair[0].close()
        for cluster in self.naive.clusters.values():
            cluster.watchers = [each for each in cluster.watchers if each is not pair[1]]

    @rule(step=STEPS)
    def pass_time(self, step: float) -> None:
        self.now += step

    @rule()
    def collect(self) -> None:
        self.real.collect(self.now)
        self.naive.collect(self.now)

    @rule()
    def die_and_restart(self) -> None:
        for pair in list(self.watchers):
            pair[0].close()
        self.watchers = []
        self.real = Registry(self.notes)
        self.real.restore(list(self.notes.kept.values()), self.now)
        for cluster in self.naive.clusters.values():
            cluster.watchers = []
        self.naive.collect(self.now)

    @invariant()
    def they_agree(self) -> None:
        clusters = self.naive.clusters
        affiliates = [a for home in clusters.values() for a in home.affiliates.values()]
        watching = [w for home in clusters.values() for w in home.watchers if not w.is_lost]
        assert self.real.counts == Counts(
            len(clusters), len(affiliates), sum(len(a.endpoints) for a in affiliates), len(watching)
        )
        for name, home in clusters.items():
            listed = shown(self.real.list(name, self.now))
            assert sorted(listed) == sorted(home.everything())
        for real, naive in self.watchers:
            assert real.is_cancelled == naive.is_lost

    @invariant()
    def the_journal_has_it_all(self) -> None:
        kept = {key: (s.expires_at, dict(s.endpoints)) for key, s in self.notes.kept.items()}
        assert kept == {
            (cluster, name): (each.expires_at, {e.value: e.expires_at for e in each.endpoints})
            for cluster, home in self.naive.clusters.items()
            for name, each in home.affiliates.items()
        }
        assert self.real.memory == sum(Entry.restored(s).cost for s in self.notes.kept.values())


TestSchedule = Schedule.TestCase
TestSchedule.settings = settings(max_examples=200, stateful_step_count=40)
