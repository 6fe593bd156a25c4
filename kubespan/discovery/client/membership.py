"""One service's client as a state machine: what to say to it when, and who the members are.

Input methods take what has happened and `now`, and return what to do about it, in order. There is
no clock, no socket, no randomness but the one handed in. Inputs that name a channel are ignored
when it is not the present one. The conversation is the official client's (Hello, Watch, a refresh
at half the record's life), except that a failed refresh is tried again promptly while the watch
goes on, and that nobody is dropped on the service's word alone (`members`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum, auto
from math import inf
from typing import Final

from kubespan.discovery.client.backoff import Backoff, Random
from kubespan.discovery.client.clientaddress import client_address
from kubespan.discovery.client.effects import (
    AskList,
    Call,
    Change,
    Connect,
    Disconnect,
    Effect,
    Failure,
    FailureReason,
    Left,
    OpenWatch,
    Publish,
    SayHello,
    SeenAt,
    SendDelete,
    SendUpdate,
)
from kubespan.discovery.client.harvest import Harvest
from kubespan.discovery.client.inquiry import Inquiry
from kubespan.discovery.client.members import Members, Opener
from kubespan.discovery.client.notice import Notices
from kubespan.discovery.client.redirect import redirect_target
from kubespan.discovery.client.registration import Registration
from kubespan.discovery.record import AffiliateRecord
from kubespan.model.address import IPAddress
from kubespan.model.resources import Affiliate

MAX_REDIRECTS: Final = 5
"""In a row. Two services that send us to each other get the pauses of one that is down."""

STABLE_AFTER: Final = 2.0
"""Seconds for which a watch must have told us things, for its end to be a first failure again."""

RESTART_WINDOW: Final = 60.0
RESTART_DELAY: Final = 2.5
"""For so many seconds after a service was last heard, a connection that cannot be made is tried
again after so many at most: most outages are a restart. It costs a service that is down nothing."""

SNAPSHOT_TIMEOUT: Final = 30.0
"""Seconds within which a watch must say its first word."""

MAX_UPDATE_FAILURES: Final = 3
"""Failures to reach the service in a row, after which its watch is not believed in either."""

LEAVE_TIMEOUT: Final = 8.0
"""Seconds that leaving may take in all."""

UNREACHED: Final = frozenset({FailureReason.UNREACHABLE, FailureReason.TIMED_OUT})


class Phase(Enum):
    """How far the conversation is."""

    IDLE = auto()
    WAITING = auto()
    GREETING = auto()
    LISTENING = auto()  # a watch was asked for, and has not told anything yet
    WATCHING = auto()
    LEAVING = auto()
    LEFT = auto()


class Membership:
    """The membership of one node in one cluster, at one service.

    A node that never sets a record only looks on. `is_useful` says whether an address at which
    the service sees us may help others to reach us.
    """

    def __init__(
        self,
        name: str,
        target: str,
        own_id: str,
        open_record: Opener,
        random: Random,
        is_useful: Callable[[IPAddress], bool],
    ) -> None:
        self.phase = Phase.IDLE
        self.target = target
        """Where we are, or will try next; not where we began, after a redirect."""

        self.heard_at: float | None = None
        """When the service last told anything about members."""

        self.addresses: dict[int, IPAddress] = {}
        """Where the service last saw us, by address family: 4 or 6."""

        self._first_target = target
        self._own_id = own_id
        self._is_useful = is_useful
        self._channel = 0
        self._is_open = False
        self._redirects = 0
        self._backoff = Backoff(random)
        self._members = Members(own_id, open_record)
        self._registration = Registration(random)
        self._harvest = Harvest(random)
        self._inquiry = Inquiry(random)
        self._notices = Notices(name)
        self._wake_at: float | None = None
        """When this phase has something to do by itself."""

        self._watching_since = 0.0
        self._watched_until = -inf

    @property
    def members(self) -> Mapping[str, Affiliate]:
        """Everybody else, by id."""
        return self._members.members

    @property
    def refusals(self) -> Mapping[str, int]:
        """What of records could not be used, by reason."""
        return self._members.refusals

    @property
    def next_timeout(self) -> float | None:
        """When to call `handle_timeout`, None: not before something else happens."""
        if self.phase is Phase.LEFT:
            return None
        times = [self._wake_at, self._members.next_timeout]
        if self._is_talking:
            times += [self._registration.next_timeout, self._harvest.next_timeout]
            times += [self._list_at]
        return min((time for time in times if time is not None), default=None)

    # -------------------------------------------------------------------------- what we want

    def start(self) -> list[Effect]:
        """Begin the conversation."""
        return self._connect() if self.phase is Phase.IDLE else []

    def remember(self, members: Mapping[str, Affiliate]) -> list[Effect]:
        """Take these for members until the service tells better."""
        return _published(self._members.remember(members))

    def set_record(self, data: bytes, endpoints: Sequence[bytes], now: float) -> list[Effect]:
        """From now on this is our own record, sealed; the same one again changes nothing."""
        self._registration.set_record(AffiliateRecord(self._own_id, data, tuple(endpoints)), now)
        return self._settle(now)

    def set_harvest(self, endpoints: Mapping[str, tuple[bytes, ...]], now: float) -> list[Effect]:
        """From now on these sealed endpoints of others, by id, are told to the service."""
        others = {id_: sealed for id_, sealed in endpoints.items() if sealed}
        others.pop(self._own_id, None)
        self._harvest.set_endpoints(others, now)
        return self._settle(now)

    def set_live(self, ids: AbstractSet[str], now: float) -> list[Effect]:
        """To these members our tunnel is up, so they are there whatever the service says."""
        return _published(self._members.set_live(ids, now))

    def redial(self, now: float) -> list[Effect]:
        """Begin the conversation anew at once: the host has lost an address, maybe the one in use.

        A connection from an address that is gone is dead, and says nothing of it for long.
        """
        if self.phase in {Phase.IDLE, Phase.LEAVING, Phase.LEFT}:
            return []
        if self.phase is Phase.WATCHING:
            self._members.begin_silence(now)
        return [*self._close_channel(), *self._connect()]

    def leave(self, now: float) -> list[Effect]:
        """Withdraw our record if the service may have it, and end."""
        if self.phase in {Phase.LEAVING, Phase.LEFT}:
            return []
        if not self._registration.is_possible:
            return self._end()
        self.phase = Phase.LEAVING
        self._wake_at = now + LEAVE_TIMEOUT
        effects = [] if self._is_open else self._open_channel()
        # An update that is still on its way could overtake and register us again.
        waits = self._registration.is_in_flight
        return effects if waits else [*effects, SendDelete(self._channel)]

    # -------------------------------------------------------------------------- what they say

    def receive_hello(
        self, channel: int, redirect: str, client_ip: bytes, now: float
    ) -> list[Effect]:
        """The service has greeted us; an empty redirect is none."""
        if not self._is_current(channel, Phase.GREETING):
            return []
        seen = self._see_ourselves(client_ip)
        if not redirect:
            return seen + self._listen(now)
        target = redirect_target(redirect)
        if target == self.target:
            return seen + self._listen(now)
        if target is None:
            told = self._notices.redirect_refused(
                "sends us to something that is not host:port; staying here", now
            )
            return [*seen, *told, *self._listen(now)]
        self._redirects += 1
        if self._redirects > MAX_REDIRECTS:
            failure = Failure(FailureReason.REFUSED, "it only sends us on, again and again")
            return seen + self._retreat(failure, now)
        self.target = target
        return [*seen, *self._close_channel(), *self._connect()]

    def receive_watch(
        self, channel: int, records: Sequence[AffiliateRecord], deleted: bool, now: float
    ) -> list[Effect]:
        """The watch tells: all that there is, the first time, and then what changes."""
        if not self._is_current(channel) or not self._is_talking:
            return []
        self.heard_at = now
        if self.phase is Phase.LISTENING:
            return self._receive_snapshot(() if deleted else records, now)
        if deleted:
            ids = [record.id for record in records]
            if self._own_id in ids:
                self._registration.renew(now)
            self._members.receive_deletion(ids)
            return self._settle(now)
        changes = self._members.receive_change(records)
        return [*_published(changes), *self._tell_refusals(now), *self._settle(now)]

    def receive_acknowledgement(self, channel: int, id_: str, now: float) -> list[Effect]:
        """The service has taken an update of that id's record."""
        if not self._is_current(channel):
            return []
        if id_ != self._own_id:
            self._harvest.acknowledge(now)
            return self._settle(now)
        self._registration.acknowledge(now)
        if self.phase is Phase.LEAVING:
            return [SendDelete(channel)]
        return [*self._notices.registered(), *self._settle(now)]

    def receive_withdrawal(self, channel: int) -> list[Effect]:
        """The service has deleted our record."""
        return self._end() if self._is_current(channel, Phase.LEAVING) else []

    def receive_list(
        self, channel: int, records: Sequence[AffiliateRecord], now: float
    ) -> list[Effect]:
        """The service has told who there is, because we asked."""
        if not self._is_current(channel) or not self._inquiry.is_out:
            return []
        self._inquiry.answer()
        changes = self._members.receive_list(records, now)
        return [*_published(changes), *self._tell_refusals(now), *self._settle(now)]

    def handle_failure(
        self, channel: int, call: Call, failure: Failure, now: float, id_: str = ""
    ) -> list[Effect]:
        """A call has ended without its answer; a watch has ended, however politely."""
        if not self._is_current(channel):
            return []
        match call:
            case Call.HELLO | Call.WATCH:
                is_over = self.phase is Phase.LEAVING
                return [] if is_over else self._retreat(failure, now)
            case Call.UPDATE if id_ == self._own_id:
                return self._handle_update_failure(failure, now)
            case Call.UPDATE:
                self._harvest.fail(failure.reason, now)
                return [*self._notices.harvest_failed(failure, now), *self._settle(now)]
            case Call.DELETE:
                return [*self._notices.withdrawal_failed(failure, now), *self._end()]
            case Call.LIST:
                self._members.fail_list(now)
                self._inquiry.fail(now)
                return self._settle(now)

    def handle_timeout(self, now: float) -> list[Effect]:
        """Do what is due."""
        effects = _published(self._members.handle_timeout(now))
        if self._wake_at is None or self._wake_at > now:
            return effects + self._settle(now)
        self._wake_at = None
        match self.phase:
            case Phase.WAITING:
                return effects + self._connect()
            case Phase.LISTENING:
                failure = Failure(FailureReason.TIMED_OUT, "no word of a watch")
                return effects + self._retreat(failure, now)
            case _:
                failure = Failure(FailureReason.TIMED_OUT)
                return [*effects, *self._notices.withdrawal_failed(failure, now), *self._end()]

    # ------------------------------------------------------------------------ the conversation

    @property
    def _is_talking(self) -> bool:
        return self.phase in {Phase.LISTENING, Phase.WATCHING}

    def _is_current(self, channel: int, phase: Phase | None = None) -> bool:
        is_open = self._is_open and channel == self._channel
        return is_open and phase in {None, self.phase}

    def _connect(self) -> list[Effect]:
        self.phase = Phase.GREETING
        self._wake_at = None
        effects = self._open_channel()
        return [*effects, SayHello(self._channel)]

    def _open_channel(self) -> list[Effect]:
        self._channel += 1
        self._is_open = True
        return [Connect(self._channel, self.target)]

    def _close_channel(self) -> list[Effect]:
        was_open, self._is_open = self._is_open, False
        self._inquiry.end()
        self._registration.end()
        self._harvest.end()
        return [Disconnect(self._channel)] if was_open else []

    def _listen(self, now: float) -> list[Effect]:
        self.phase = Phase.LISTENING
        self._wake_at = now + SNAPSHOT_TIMEOUT
        self._registration.begin(now)
        return [OpenWatch(self._channel), *self._settle(now)]

    def _receive_snapshot(self, records: Sequence[AffiliateRecord], now: float) -> list[Effect]:
        self.phase = Phase.WATCHING
        self._wake_at = None
        self._watching_since = now
        self._redirects = 0
        self._harvest.begin(now)
        changes = self._members.receive_snapshot(records, now)
        return [
            Publish(changes, is_whole=True),
            *self._notices.connected(self.target, len(self._members)),
            *self._tell_refusals(now),
            *self._settle(now),
        ]

    def _retreat(self, failure: Failure, now: float) -> list[Effect]:
        """Close the channel, and come back after a pause."""
        told = self._notices.failed(self.target, failure, now)
        if self.phase is Phase.WATCHING:
            self._members.begin_silence(now)
            self._watched_until = now
            if now >= self._watching_since + STABLE_AFTER:
                self._backoff.reset()
        else:
            # Where we were sent to is no use; who sent us may know better.
            self.target = self._first_target
            self._redirects = 0
        self.phase = Phase.WAITING
        may_be_a_restart = (
            failure.reason is FailureReason.UNREACHABLE
            and now <= self._watched_until + RESTART_WINDOW
        )
        self._wake_at = now + self._backoff.delay(RESTART_DELAY if may_be_a_restart else inf)
        return [*told, *self._close_channel()]

    def _end(self) -> list[Effect]:
        self.phase = Phase.LEFT
        return [*self._close_channel(), Left()]

    def _see_ourselves(self, client_ip: bytes) -> list[Effect]:
        address = client_address(client_ip)
        if address is None or not self._is_useful(address):
            return []
        if self.addresses.get(address.version) == address:
            return []
        self.addresses[address.version] = address
        return [SeenAt(address)]

    def _handle_update_failure(self, failure: Failure, now: float) -> list[Effect]:
        self._registration.fail(failure.reason, now)
        if self.phase is Phase.LEAVING:
            return [SendDelete(self._channel)]
        told = self._notices.registration_failed(failure, now)
        is_deaf = self._registration.failures >= MAX_UPDATE_FAILURES
        if is_deaf and failure.reason in UNREACHED:
            return [*told, *self._retreat(failure, now)]
        return [*told, *self._settle(now)]

    def _tell_refusals(self, now: float) -> list[Effect]:
        return list(self._notices.refused(self._members.refusals, now))

    # -------------------------------------------------------------------------- what is due

    @property
    def _list_at(self) -> float | None:
        return self._inquiry.next_timeout if self._members.needs_list else None

    def _settle(self, now: float) -> list[Effect]:
        """Return the calls that are due."""
        if not self._is_talking:
            return []
        effects: list[Effect] = []
        own = self._registration.take(now)
        if own is not None:
            effects.append(SendUpdate(self._channel, own))
        other = self._harvest.take(now, self._members.is_present)
        if other is not None:
            effects.append(SendUpdate(self._channel, other))
        list_at = self._list_at
        if list_at is not None and list_at <= now:
            self._members.begin_list()
            self._inquiry.begin(now)
            effects.append(AskList(self._channel))
        return effects


def _published(changes: tuple[Change, ...]) -> list[Effect]:
    return [Publish(changes)] if changes else []
