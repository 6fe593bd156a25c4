"""Who the members are, as far as one service tells, and however it tells it.

A service forgets, restarts, and may lie or be mistaken; a member that is wrongly dropped loses its
traffic. So nobody is dropped on one word: what a `deleted` says is asked after (`List`), a member
that a new snapshot lacks gets time to come back, and one that is known to be alive gets more.
Nothing is asked here, no clock is read, and no more members are kept than a cluster can have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from kubespan.discovery.client.effects import Change
from kubespan.discovery.record import AffiliateRecord
from kubespan.model.constants import AFFILIATE_REFRESH_INTERVAL, MAX_AFFILIATES
from kubespan.model.resources import Affiliate

SNAPSHOT_PATIENCE: Final = 300.0
"""Seconds with a service for which a member that its snapshot lacks is kept.

After a service has lost its memory its members register again with their next attempt. The longest
backoff delays that by up to 90 s, and that attempt may fail, too.
"""

LIVE_PATIENCE: Final = AFFILIATE_REFRESH_INTERVAL
"""Seconds for which a member is kept whose tunnel is up, whatever the service says."""


class Opened(Protocol):
    """What came of opening a record."""

    @property
    def affiliate(self) -> Affiliate | None:
        """Who it is of; None if that could not be opened."""

    @property
    def refusals(self) -> Iterable[object]:
        """Why parts of it were refused, one reason each."""


Opener: TypeAlias = Callable[[AffiliateRecord], Opened]


@dataclass(slots=True)
class _Member:
    affiliate: Affiliate
    record: AffiliateRecord | None
    """As it was opened; None if it is remembered from an earlier run."""


@dataclass(frozen=True, slots=True)
class _Absence:
    since: float
    patience: float


class Members:
    """The members that one service knows, without ourselves."""

    def __init__(self, own_id: str, open_record: Opener) -> None:
        self.refusals: Counter[str] = Counter()
        """What could not be used, by reason."""

        self._own_id = own_id
        self._open_record = open_record
        self._members: dict[str, _Member] = {}
        self._absent: dict[str, _Absence] = {}
        self._doubted: dict[str, int] = {}
        """Who is said to be deleted, and the first List that can tell."""

        self._lists = 0
        self._silent_since: float | None = None
        """Since when the service cannot tell us that somebody is back."""

        self._live: AbstractSet[str] = frozenset()

    @property
    def members(self) -> Mapping[str, Affiliate]:
        """Everybody, by id."""
        return {id_: member.affiliate for id_, member in self._members.items()}

    def __len__(self) -> int:
        return len(self._members)

    def is_present(self, id_: str) -> bool:
        """Whether the service knows that member, as far as we know."""
        return id_ in self._members and id_ not in self._absent and id_ not in self._doubted

    @property
    def needs_list(self) -> bool:
        """Whether there is somebody whom only a List can tell about that was not asked for yet."""
        return any(number > self._lists for number in self._doubted.values())

    @property
    def next_timeout(self) -> float | None:
        """When the next absent member is to be dropped; while the service is silent, none is."""
        if self._silent_since is not None:
            return None
        return min((self._end_of(id_) for id_ in self._absent), default=None)

    def remember(self, members: Mapping[str, Affiliate]) -> tuple[Change, ...]:
        """These were members when we last ran; whoever is known already stays as it is."""
        changes: list[Change] = []
        for id_, affiliate in members.items():
            if id_ not in self._members and id_ != self._own_id and self._has_room(changes):
                self._members[id_] = _Member(affiliate, None)
                changes.append(Change(id_, affiliate))
        return tuple(changes)

    def receive_snapshot(
        self, records: Sequence[AffiliateRecord], now: float
    ) -> tuple[Change, ...]:
        """The service says that these are all."""
        changes: list[Change] = []
        self._end_silence(now)
        named = {record.id for record in records if record.data}
        for id_ in self._members:
            if id_ not in named:
                self._absent.setdefault(id_, _Absence(now, SNAPSHOT_PATIENCE))
        # Whether a deletion was true cannot be told any more: the service may have forgotten all.
        self._doubted.clear()
        self._take_in(records, changes)
        return (*changes, *self.handle_timeout(now))

    def begin_silence(self, now: float) -> None:
        """The service tells nothing until its next snapshot."""
        if self._silent_since is None:
            self._silent_since = now

    def receive_change(self, records: Sequence[AffiliateRecord]) -> tuple[Change, ...]:
        """The service says that these are new or different."""
        changes: list[Change] = []
        self._take_in(records, changes)
        return tuple(changes)

    def receive_deletion(self, ids: Iterable[str]) -> None:
        """The service says that these were deleted; a List that is asked for later can tell."""
        for id_ in ids:
            if id_ in self._members:
                self._doubted[id_] = self._lists + 1

    def begin_list(self) -> None:
        """A List is being asked for; the one before it, if any, has ended."""
        self._lists += 1

    def receive_list(self, records: Sequence[AffiliateRecord], now: float) -> tuple[Change, ...]:
        """The answer says who of the doubted is a member all the same, and who is not."""
        changes: list[Change] = []
        judged = {id_ for id_, number in self._doubted.items() if number <= self._lists}
        # Of others the watch tells more recent things than an answer that was on its way.
        self._take_in([record for record in records if record.id in judged], changes)
        for id_ in judged & self._doubted.keys():
            del self._doubted[id_]
            absence = self._absent.get(id_)
            self._absent[id_] = _Absence(now if absence is None else absence.since, 0.0)
        return (*changes, *self.handle_timeout(now))

    def fail_list(self, now: float) -> None:
        """There is no answer: the doubted wait for another, but not for ever."""
        for id_, number in self._doubted.items():
            if number <= self._lists:
                self._doubted[id_] = self._lists + 1
                self._absent.setdefault(id_, _Absence(now, SNAPSHOT_PATIENCE))

    def set_live(self, ids: AbstractSet[str], now: float) -> tuple[Change, ...]:
        """Of these we know for ourselves that they are there."""
        self._live = frozenset(ids)
        return self.handle_timeout(now)

    def handle_timeout(self, now: float) -> tuple[Change, ...]:
        """Drop those who were absent for too long."""
        if self._silent_since is not None:
            return ()
        gone = [id_ for id_ in self._absent if self._end_of(id_) <= now]
        return tuple(self._drop(id_) for id_ in gone)

    def _end_silence(self, now: float) -> None:
        """Give the absent the time that they could not use."""
        silence = 0.0 if self._silent_since is None else now - self._silent_since
        self._silent_since = None
        for id_, absence in self._absent.items():
            self._absent[id_] = _Absence(absence.since + silence, absence.patience)

    def _end_of(self, id_: str) -> float:
        absence = self._absent[id_]
        is_live = id_ in self._live
        return absence.since + (LIVE_PATIENCE if is_live else absence.patience)

    def _drop(self, id_: str) -> Change:
        del self._members[id_], self._absent[id_]
        self._doubted.pop(id_, None)
        return Change(id_, None)

    def _take_in(self, records: Sequence[AffiliateRecord], changes: list[Change]) -> None:
        for record in records[:MAX_AFFILIATES]:
            # Without data it only says that somebody told of an endpoint of that id.
            if record.id != self._own_id and record.data:
                self._take_in_one(record, changes)
        if len(records) > MAX_AFFILIATES:
            self.refusals["too_many_records"] += len(records) - MAX_AFFILIATES

    def _take_in_one(self, record: AffiliateRecord, changes: list[Change]) -> None:
        before = self._members.get(record.id)
        member = before
        if before is None or before.record != record:
            member = self._open(record, before)
        if member is None:
            return
        if before is None and not self._has_room(changes):
            self.refusals["too_many_members"] += 1
            return
        self._absent.pop(record.id, None)
        self._doubted.pop(record.id, None)
        self._members[record.id] = member
        if before is None or before.affiliate != member.affiliate:
            changes.append(Change(record.id, member.affiliate))

    def _open(self, record: AffiliateRecord, before: _Member | None) -> _Member | None:
        """Return what is in a record; if that cannot be told, what was there before."""
        opened = self._open_record(record)
        for reason in opened.refusals:
            self.refusals[str(getattr(reason, "value", reason))] += 1
        return before if opened.affiliate is None else _Member(opened.affiliate, record)

    def _has_room(self, changes: list[Change]) -> bool:
        """Whether one more fits; somebody who is absent and not alive makes place if need be."""
        if len(self._members) < MAX_AFFILIATES:
            return True
        idle = next((id_ for id_ in self._absent if id_ not in self._live), None)
        if idle is not None:
            changes.append(self._drop(idle))
        return idle is not None
