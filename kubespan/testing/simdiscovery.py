"""Discovery services and their clients in virtual time: days in seconds, the same every run.

The service is the real registry, the client the real membership; between them is a network that
delays calls, overtakes some, and loses others by chance that a seed decides. What is in a record is
for whoever opens it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final

from kubespan.discovery.client.effects import (
    CALL_TIMEOUTS,
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
    Tell,
)
from kubespan.discovery.client.members import Opener
from kubespan.discovery.client.membership import Membership
from kubespan.discovery.record import AffiliateRecord, Notification
from kubespan.discovery.server.journal import Saved
from kubespan.discovery.server.refusal import Refusal
from kubespan.discovery.server.registry import Registry
from kubespan.model.address import IPAddress
from kubespan.model.constants import AFFILIATE_TTL
from kubespan.testing.simtime import Alarm, Timeline

CLUSTER: Final = "cluster"
COLLECT_INTERVAL: Final = 60.0

Answer = Callable[[], list[Effect]]


class Memory:
    """A journal that outlives its registry."""

    def __init__(self) -> None:
        self.saved: dict[tuple[str, str], Saved] = {}

    def admit(self) -> None:
        """Everything fits."""

    def put(self, saved: Saved) -> None:
        """Keep what was saved, instead of what was there of the same affiliate."""
        self.saved[saved.cluster_id, saved.affiliate_id] = saved

    def remove(self, cluster_id: str, affiliate_id: str) -> None:
        """Keep nothing of an affiliate."""
        self.saved.pop((cluster_id, affiliate_id), None)


class Stream:
    """One watch, from the service's side to one node's."""

    def __init__(self, net: DiscoveryNet, service: Service, node: Node, channel: int) -> None:
        self._net = net
        self._service = service
        self.node = node
        self._channel = channel
        self._arrives_at = 0.0
        self.subscription = service.registry.watch(CLUSTER, net.now)
        self.subscription.on_change = self.pump
        self.pump()

    def pump(self) -> None:
        """Send what waits, in order."""
        while (told := self.subscription.take()) is not None:
            for message in self._service.corrupt(told):
                self._send(message)
        if self.subscription.is_ended:
            self.end(Failure(FailureReason.ENDED))

    def end(self, failure: Failure) -> None:
        """Let the node know that this was all."""
        self._service.streams.pop(self, None)
        self._later(
            lambda: self.node.membership.handle_failure(
                self._channel, Call.WATCH, failure, self._net.now
            )
        )

    def _send(self, told: Notification) -> None:
        self._later(
            lambda: self.node.membership.receive_watch(
                self._channel, told.affiliates, told.deleted, self._net.now
            )
        )

    def _later(self, answer: Answer) -> None:
        # One stream is in order, whatever the network does to others.
        self._arrives_at = max(self._arrives_at, self._net.now + self._net.delay())
        self._net.at(self._arrives_at, lambda: self.node.perform(answer()))


class Service:
    """A discovery service, and how it misbehaves."""

    def __init__(self, net: DiscoveryNet) -> None:
        self.memory = Memory()
        self.registry = Registry(self.memory)
        self.streams: dict[Stream, None] = {}
        self.calls: Counter[Call] = Counter()
        self.is_up = True
        self.redirect = ""
        self.has_stock_defect = False
        """Whether an endpoint that expires is told as a deletion of its affiliate."""

        self.lie: Callable[[Notification], Sequence[Notification]] = lambda told: (told,)
        self.lists: Callable[[Sequence[AffiliateRecord]], Sequence[AffiliateRecord]] = lambda r: r
        self.refusal: Failure | None = None
        """What every update is answered with."""

        self._is_collecting = False
        self._net = net
        net.at(net.now + COLLECT_INTERVAL, self._collect)

    def corrupt(self, told: Notification) -> Sequence[Notification]:
        """Return what a watcher is told instead."""
        if self._is_collecting and self.has_stock_defect and not told.deleted:
            told = Notification.removal(told.affiliates[0].id)
        return self.lie(told)

    def crash(self, *, remembers: bool) -> None:
        """It is gone, with everything that it has not written down."""
        self.is_up = False
        for stream in tuple(self.streams):
            stream.subscription.close()
            stream.end(Failure(FailureReason.UNREACHABLE))
        if not remembers:
            self.memory.saved.clear()

    def restart(self) -> None:
        """It is there again, with what was written down."""
        self.registry = Registry(self.memory)
        self.registry.restore(tuple(self.memory.saved.values()), self._net.now)
        self.is_up = True

    @property
    def registered(self) -> dict[str, bytes]:
        """What is registered, by id."""
        return {one.id: one.data for one in self.registry.list(CLUSTER, self._net.now)}

    def _collect(self) -> None:
        if self.is_up:
            self._is_collecting = True
            self.registry.collect(self._net.now)
            self._is_collecting = False
        self._net.at(self._net.now + COLLECT_INTERVAL, self._collect)


class Node:
    """One member, what it knows, and everything that it was told."""

    def __init__(
        self,
        net: DiscoveryNet,
        id_: str,
        target: str,
        is_useful: Callable[[IPAddress], bool] = bool,
    ) -> None:
        self.id = id_
        self.membership = Membership(
            "sim", target, id_, net.open_record, net.random.random, is_useful
        )
        self.view: dict[str, str] = {}
        self.history: list[tuple[float, Change]] = []
        self.told: list[str] = []
        self.has_left = False
        self.is_gone = False
        """Whether it has ended without a word: nothing reaches it any more."""

        self.on_news: Callable[[], None] = _nobody_listens
        """Called when there is something new about members, or about where we are seen."""

        self.can_reach: Callable[[str], bool] = _everybody_can
        """Whether a target can be reached at this moment."""

        self.seen_at: Callable[[], bytes] = bytes
        """Where services see it: 4 or 16 bytes, none if they do not say."""

        self._net = net
        self._targets: dict[int, str] = {}
        self._alarm = Alarm(net.timeline, self._wake)

    def start(self) -> None:
        """Begin."""
        self.perform(self.membership.start())

    def announce(self, text: str, *endpoints: bytes) -> None:
        """Register as this."""
        self.perform(self.membership.set_record(text.encode(), endpoints, self._net.now))

    def harvest(self, endpoints: Mapping[str, tuple[bytes, ...]]) -> None:
        """Tell these of others."""
        self.perform(self.membership.set_harvest(endpoints, self._net.now))

    def leave(self) -> None:
        """Withdraw, and end."""
        self.perform(self.membership.leave(self._net.now))

    def losses(self) -> list[str]:
        """Return who was dropped, in order."""
        return [change.id for _, change in self.history if change.affiliate is None]

    def vanish(self) -> None:
        """End without a word; its watches are cut."""
        self.is_gone = True
        self._alarm.set(None)
        self._net.cut(self)

    def perform(self, effects: list[Effect]) -> None:
        """Carry out what the membership asks for."""
        if self.is_gone:
            return
        for effect in effects:
            match effect:
                case Publish(changes):
                    self._hear(changes)
                    self.on_news()
                case Tell(text):
                    self.told.append(text)
                case Connect(channel, target):
                    self._targets[channel] = target
                case Disconnect(channel):
                    del self._targets[channel]
                case Left():
                    self.has_left = True
                case SeenAt():
                    self.on_news()
                case _:
                    self._net.call(self, effect, self._targets[effect.channel])
        self._alarm.set(self.membership.next_timeout)

    def _hear(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self.history.append((self._net.now, change))
            if change.affiliate is None:
                del self.view[change.id]
            else:
                self.view[change.id] = change.affiliate.hostname

    def _wake(self) -> None:
        self.perform(self.membership.handle_timeout(self._net.now))


class DiscoveryNet:
    """The network, its time, its services and nodes."""

    def __init__(
        self,
        open_record: Opener,
        seed: int = 0,
        *,
        latency: float = 0.01,
        jitter: float = 0.0,
        timeline: Timeline | None = None,
    ) -> None:
        self.timeline = Timeline() if timeline is None else timeline
        self.open_record = open_record
        self.random = Random(seed)  # noqa: S311  the same every run is the point
        self.latency = latency
        self.jitter = jitter
        self.loss = 0.0
        """The chance of a call to be lost, one way or the other."""

        self.services: dict[str, Service] = {}
        self.nodes: dict[str, Node] = {}

    @property
    def now(self) -> float:
        """The present moment, in boot seconds."""
        return self.timeline.now

    def add_service(self, target: str = "host:1") -> Service:
        """Return a service that is up and knows nobody."""
        service = self.services[target] = Service(self)
        return service

    def add_node(self, id_: str, target: str = "host:1") -> Node:
        """Return a node that has begun, and announces its own id."""
        node = self.nodes[id_] = Node(self, id_, target)
        node.announce(id_)
        node.start()
        return node

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Have something happen at a moment."""
        self.timeline.at(moment, action)

    def delay(self) -> float:
        """Return how long the next message takes one way."""
        return self.latency + self.random.random() * self.jitter

    def run(self, seconds: float) -> None:
        """Let time pass, with everything that happens in it."""
        self.timeline.run(seconds)

    def cut(self, node: Node) -> None:
        """End the watches of a node that cannot be told any more; it notices, if it is there."""
        for service in self.services.values():
            for stream in [stream for stream in service.streams if stream.node is node]:
                stream.subscription.close()
                stream.end(Failure(FailureReason.UNREACHABLE))

    def call(self, node: Node, effect: Effect, target: str) -> None:
        """Make a call, and bring its answer back."""
        assert isinstance(effect, SayHello | OpenWatch | SendUpdate | SendDelete | AskList)
        call, id_ = _call_of(effect)
        service = self.services[target]

        def fail(failure: Failure, after: float) -> None:
            self.at(
                self.now + after,
                lambda: node.perform(
                    node.membership.handle_failure(effect.channel, call, failure, self.now, id_)
                ),
            )

        def arrive() -> None:
            if not service.is_up or not node.can_reach(target):
                fail(Failure(FailureReason.UNREACHABLE), self.delay())
                return
            service.calls[call] += 1
            try:
                answer = self._serve(service, node, effect)
            except Refusal as refusal:
                fail(Failure(FailureReason.EXHAUSTED, refusal.message), self.delay())
                return
            if isinstance(answer, Failure):
                fail(answer, self.delay())
            elif answer is not None and self.random.random() >= self.loss / 2:
                self.at(self.now + self.delay(), lambda: node.perform(answer()))
            elif answer is not None:
                fail(Failure(FailureReason.TIMED_OUT), CALL_TIMEOUTS[call] or 0.0)

        if self.random.random() < self.loss / 2:
            fail(Failure(FailureReason.TIMED_OUT), CALL_TIMEOUTS[call] or 20.0)
        else:
            self.at(self.now + self.delay(), arrive)

    def _serve(self, service: Service, node: Node, effect: Effect) -> Answer | Failure | None:
        """Return the service's answer; a watch has none."""
        member, registry = node.membership, service.registry
        match effect:
            case SayHello(channel):
                redirect = service.redirect
                seen_at = node.seen_at()
                return lambda: member.receive_hello(channel, redirect, seen_at, self.now)
            case OpenWatch(channel):
                service.streams[Stream(self, service, node, channel)] = None
            case SendUpdate(channel, sent):
                if service.refusal is not None:
                    return service.refusal
                registry.update(
                    CLUSTER, sent.id, sent.data, sent.endpoints, AFFILIATE_TTL, self.now
                )
                return lambda: member.receive_acknowledgement(channel, sent.id, self.now)
            case SendDelete(channel):
                registry.delete(CLUSTER, node.id, self.now)
                return lambda: member.receive_withdrawal(channel)
            case AskList(channel):
                records = service.lists(registry.list(CLUSTER, self.now))
                return lambda: member.receive_list(channel, records, self.now)
        return None


def _call_of(effect: Effect) -> tuple[Call, str]:
    match effect:
        case SayHello():
            return Call.HELLO, ""
        case OpenWatch():
            return Call.WATCH, ""
        case SendUpdate(record=sent):
            return Call.UPDATE, sent.id
        case SendDelete():
            return Call.DELETE, ""
        case _:
            return Call.LIST, ""


def _nobody_listens() -> None:
    """Nobody wants to know."""


def _everybody_can(_target: str) -> bool:
    return True
