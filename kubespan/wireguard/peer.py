"""One peer: when it is called, answered, sent to, and forgotten.

Sans-IO: every input returns its effects, in the order in which they are to be carried out. What
is true of the peer for the data path (sessions, endpoint, times, bytes) is in its slot; what is
here is what only the control of it needs. Paper §5 and §6; kernel send.c, receive.c, timers.c.
"""

from __future__ import annotations

from math import inf
from typing import Final

from kubespan.model.address import Arrival, Endpoint
from kubespan.model.constants import (
    HANDSHAKE_TRAFFIC_CLASS,
    MAX_PROBES,
    MAX_TIMER_HANDSHAKES,
    MESSAGE_INITIATION_SIZE,
    MESSAGE_RESPONSE_SIZE,
    MESSAGE_TRANSPORT_MIN_SIZE,
    REKEY_TIMEOUT,
)
from kubespan.model.drop import DropReason
from kubespan.model.errors import ProtocolError
from kubespan.model.instant import Instant
from kubespan.model.keys import PresharedKey, PrivateKey, PublicKey
from kubespan.noise.cookie import CookieGenerator
from kubespan.noise.handshake import Handshake, OpenedInitiation
from kubespan.noise.messages import CookieReply, Initiation, Response
from kubespan.noise.tai64n import timestamp
from kubespan.wireguard.datapath import Keypair
from kubespan.wireguard.effects import Dropped, Effect, Event, PeerEvent
from kubespan.wireguard.loop import is_own_message
from kubespan.wireguard.outbox import Outbox
from kubespan.wireguard.sessions import Sessions, is_old_for_receiving, is_old_for_sending
from kubespan.wireguard.surroundings import Result, Role, Surroundings
from kubespan.wireguard.timers import Timer, Timers

_NEVER: Final = -inf


class Peer:
    """A peer of one interface, for as long as it is configured."""

    __slots__ = (
        "_attempts",
        "_cookies",
        "_handshake_index",
        "_has_asked_for_rekey",
        "_initiation",
        "_is_clock_suspected",
        "_last_sent_handshake_at",
        "_next_probe",
        "_outbox",
        "_sessions",
        "_silent_since",
        "_surroundings",
        "candidates",
        "handshake",
        "last_handshake_at",
        "last_handshake_wall_ns",
        "public_key",
        "slot",
        "timers",
    )

    def __init__(self, public_key: PublicKey, surroundings: Surroundings[Peer]) -> None:
        self.public_key = public_key
        self.slot = surroundings.path.create_slot()
        self.timers = Timers(self.slot)
        self.handshake = Handshake(surroundings.local, public_key)
        self.last_handshake_at: float | None = None
        """Seconds since boot."""

        self.last_handshake_wall_ns = 0
        self.candidates: tuple[Endpoint, ...] = ()
        """Where else the peer may be, besides its endpoint: tried too while nobody answers."""

        self._surroundings = surroundings
        self._sessions = Sessions(self.slot, surroundings)
        self._cookies = CookieGenerator(public_key)
        self._outbox = Outbox(public_key, self.slot, surroundings.path)
        self._handshake_index: int | None = None
        self._initiation = b""
        self._last_sent_handshake_at = _NEVER
        self._silent_since = 0.0
        self._attempts = 0
        self._next_probe = 0
        self._has_asked_for_rekey = False
        self._is_clock_suspected = False

    @property
    def unanswered_since(self) -> float | None:
        """When the first data was sent that nothing came back for: seconds since boot, or None."""
        if self.slot.last_received_at < self._silent_since:
            return self._silent_since
        return self.slot.first_data_sent_at or None

    # What the operator sets.

    @property
    def preshared_key(self) -> PresharedKey:
        """The preshared key, kept as a copy; a new one counts from the next handshake on."""
        return self.handshake.preshared_key

    @preshared_key.setter
    def preshared_key(self, preshared_key: PresharedKey) -> None:
        former = self.handshake.preshared_key
        self.handshake.preshared_key = PresharedKey(preshared_key.raw)
        former.wipe()

    @property
    def persistent_keepalive(self) -> int:
        """Seconds without traffic after which a keepalive is sent, 0 for never."""
        return self.timers.persistent_interval

    @persistent_keepalive.setter
    def persistent_keepalive(self, interval: int) -> None:
        self.timers.persistent_interval = interval

    def set_endpoint(self, endpoint: Endpoint) -> None:
        """Make this where the peer is; sessions are kept."""
        if self.slot.endpoint is None:
            # What was tried before reached nobody, so the first real try need not wait.
            self._last_sent_handshake_at = _NEVER
        self.slot.endpoint = endpoint

    def change_identity(self) -> None:
        """Follow a change of our own key: begin anew, and send nothing under what there was."""
        self._release_handshake()
        self.handshake.set_local(self._surroundings.local)
        self._last_sent_handshake_at = _NEVER
        self._sessions.end_sending()

    # Coming and going.

    def start(self, now: Instant) -> None:
        """Let the peer send and receive; nothing happens yet."""
        if not self.timers.is_running:
            self.timers.start(now.boot)
            self._last_sent_handshake_at = _NEVER

    def begin_later(self, delay: float, now: Instant) -> None:
        """Begin a handshake after so many seconds, unless somebody has a reason to before."""
        self._outbox.stage_keepalive()
        self._attempts = -1  # what comes then is no repetition
        self.timers.initiation_planned(now.boot + delay)

    def seek(self, now: Instant) -> None:
        """Begin a handshake as soon as may be, at candidates too: perhaps the peer has moved."""
        if not self.timers.is_handshake_expected:
            self._attempts = 0
            soonest = self._last_sent_handshake_at + REKEY_TIMEOUT
            self.timers.initiation_planned(max(now.boot, soonest))

    def wake(self, now: Instant) -> list[Effect]:
        """Send what waits, and a keepalive to a peer that is to be kept awake."""
        if self.persistent_keepalive:
            return self.send_keepalive(now)
        return self.flush_staged(now)

    def stop(self) -> list[Effect]:
        """Forget sessions, handshake, timers and staged packets; nothing is sent any more."""
        self.timers.stop()
        self._sessions.clear()
        self._abandon_handshake()
        self._last_sent_handshake_at = _NEVER
        self._attempts = 0
        return self._outbox.drop_staged(DropReason.INTERFACE_DOWN)

    def retire(self) -> list[Effect]:
        """Stop, and forget the keys too: the peer is not configured any more."""
        effects = self.stop()
        self.handshake.set_local(None)
        self.handshake.preshared_key.wipe()
        return effects

    # Sending packets.

    def send_packet(self, packet: bytes, now: Instant) -> list[Effect]:
        """Seal and send a packet, or keep it until there is a session to send it under."""
        if self._is_looping(packet):
            return [Dropped(DropReason.ROUTING_LOOP)]
        return self._outbox.stage(packet) + self.flush_staged(now)

    def _is_looping(self, packet: bytes) -> bool:
        current, endpoint = self.slot.current, self.slot.endpoint
        if current is None or endpoint is None:
            return False
        return is_own_message(packet, endpoint, current.remote_index)

    def send_keepalive(self, now: Instant) -> list[Effect]:
        """Send what waits, or if nothing does, an empty packet."""
        self._outbox.stage_keepalive()
        return self.flush_staged(now)

    def flush_staged(self, now: Instant) -> list[Effect]:
        """Send what waits, or ask for the session that it needs."""
        if not self._outbox or not self.timers.is_running:
            return []
        keypair = self._sessions.sending(now.boot)
        if keypair is None:
            return self.send_initiation(now)
        return self._outbox.send_staged(keypair, now) + self._refresh_for_sending(keypair, now)

    # Handshakes that we begin.

    def send_initiation(self, now: Instant, *, is_retry: bool = False) -> list[Effect]:
        """Begin a handshake, unless one was begun or answered less than REKEY_TIMEOUT ago."""
        if not is_retry:
            self._attempts = 0
        if self.handshake.is_dead:
            return []
        if now.boot < self._last_sent_handshake_at + REKEY_TIMEOUT:
            if is_retry:
                # We answered the peer meanwhile, which may be void if both began at once.
                self.timers.initiation_sent(
                    self._last_sent_handshake_at, self._surroundings.jitter()
                )
            return []
        self._last_sent_handshake_at = now.boot
        self.timers.initiation_sent(now.boot, self._surroundings.jitter())
        if self.slot.endpoint is None:
            return self._outbox.send(b"", 0, now)
        self._release_handshake()
        self._handshake_index = self._allocate_index()
        initiation = self.handshake.create_initiation(
            ephemeral=self._ephemeral(),
            local_index=self._handshake_index,
            timestamp=timestamp(now.wall_ns),
        )
        sent = self._send_initiation(initiation, now)
        self._tally(Role.INITIATOR, Result.SENT)
        return [
            *sent,
            self._event(Event.HANDSHAKE_INITIATION_SENT, f"attempt {self._attempts + 1}"),
        ]

    def repeat_initiation(self, now: Instant) -> list[Effect]:
        """Send what waits for an answer once more, the same bytes, to where the peer is now.

        So an endpoint that has just become known is tried without waiting for REKEY_TIMEOUT; to a
        peer that has heard it already it is a replay.
        """
        if not self._initiation:
            return []
        return self._outbox.send(self._initiation, HANDSHAKE_TRAFFIC_CLASS, now)

    def receive_response(self, message: Response, arrival: Arrival, now: Instant) -> list[Effect]:
        """Complete the handshake that we began. Raises ProtocolError, and then nothing changed."""
        try:
            self.handshake.consume_response(message)
        except ProtocolError:
            self._tally(Role.INITIATOR, Result.REFUSED)
            raise
        effects = self._roam(arrival)
        self.slot.note_received(now.boot, MESSAGE_RESPONSE_SIZE, data=False)
        keypair = self._derive_session(now)
        self._handshake_index, self._initiation = None, b""
        effects.append(self._complete_handshake(Role.INITIATOR, now))
        # Whatever is sent tells the peer that the session works both ways.
        self._outbox.stage_keepalive()
        effects += self._outbox.send_staged(keypair, now)
        # Only after what waited is sealed: lanes must not overtake it.
        self._sessions.install_initiated(keypair)
        return effects

    # Handshakes that the peer begins.

    def receive_initiation(
        self, opened: OpenedInitiation, message: Initiation, arrival: Arrival, now: Instant
    ) -> list[Effect]:
        """Answer the peer's initiation. Raises ProtocolError, and then nothing changed."""
        try:
            self.handshake.consume_initiation(opened, message, boot=now.boot)
        except ProtocolError:
            self._tally(Role.RESPONDER, Result.REFUSED)
            raise
        self._is_clock_suspected = False
        self.slot.note_received(now.boot, MESSAGE_INITIATION_SIZE, data=False)
        return self._roam(arrival) + self._send_response(now)

    def _allocate_index(self) -> int:
        return self._surroundings.allocate_index(self, self.slot.queue)

    def suspect_clock(self) -> list[Effect]:
        """Tell once, until it goes well again, that an initiation was older than the last one."""
        if self._is_clock_suspected:
            return []
        self._is_clock_suspected = True
        return [self._event(Event.CLOCK_WENT_BACK)]

    def _send_response(self, now: Instant) -> list[Effect]:
        self._last_sent_handshake_at = now.boot
        # What we may have begun ourselves keeps its index: it may be answered all the same.
        response = self.handshake.create_response(
            ephemeral=self._ephemeral(), local_index=self._allocate_index()
        )
        self._sessions.install_answered(self._derive_session(now))
        self._tally(Role.RESPONDER, Result.SENT)
        sent = self._send_handshake(response, now)
        return [*sent, self._event(Event.HANDSHAKE_RESPONSE_SENT)]

    def confirm(self, keypair: Keypair, now: Instant) -> list[Effect]:
        """Send under `next` from now on, as the peer has used it for the first time."""
        if self.slot.next is not keypair:
            return []
        effects = [self._complete_handshake(Role.RESPONDER, now)]
        if not self._sessions.is_withheld(keypair):
            self._abandon_handshake()
            effects += self._outbox.send_staged(keypair, now)
        self._sessions.install_confirmed()
        return effects + self.flush_staged(now)

    # What both sides of a handshake do.

    def receive_cookie_reply(self, message: CookieReply, now: Instant) -> list[Effect]:
        """Keep a cookie for the next try. Raises ProtocolError. Nothing else changes by it."""
        self._cookies.consume_reply(message, now.boot)
        return [self._event(Event.COOKIE_RECEIVED)]

    def _ephemeral(self) -> PrivateKey:
        return self._surroundings.ephemeral(self.public_key, self.preshared_key)

    def _send_handshake(self, datagram: bytes, now: Instant) -> list[Effect]:
        datagram = self._cookies.add_macs(datagram, now.boot)
        return self._outbox.send(datagram, HANDSHAKE_TRAFFIC_CLASS, now)

    def _send_initiation(self, datagram: bytes, now: Instant) -> list[Effect]:
        """Send it to the endpoint, and while nobody hears us there to candidates, by turns.

        Whichever of them the peer hears first it answers, and roaming does the rest; further copies
        are replays to it. Beyond the paper: a peer that is never given candidates is not concerned.
        """
        self._initiation = datagram = self._cookies.add_macs(datagram, now.boot)
        effects = self._outbox.send(datagram, HANDSHAKE_TRAFFIC_CLASS, now)
        if self._is_lost(now):
            for endpoint in self._probed():
                effects += self._outbox.send_elsewhere(datagram, endpoint, now)
        return effects

    def _probed(self) -> tuple[Endpoint, ...]:
        """Return the candidates whose turn it is; the next turn begins with those that follow."""
        first = self._next_probe % max(1, len(self.candidates))
        self._next_probe = first + MAX_PROBES
        return (self.candidates[first:] + self.candidates[:first])[:MAX_PROBES]

    def _is_lost(self, now: Instant) -> bool:
        """Whether nobody seems to hear us at the endpoint."""
        is_silent = self.slot.last_received_at < self._silent_since
        return self._attempts > 0 or is_silent or self._sessions.sending(now.boot) is None

    def _derive_session(self, now: Instant) -> Keypair:
        keypair = self._sessions.derive(self.handshake.begin_session(), now.boot)
        self.timers.session_derived(now.boot)
        return keypair

    def _complete_handshake(self, role: Role, now: Instant) -> Effect:
        self.timers.handshake_complete(self._surroundings.jitter())
        self._attempts = 0
        self._has_asked_for_rekey = False
        self.last_handshake_at = now.boot
        self.last_handshake_wall_ns = now.wall_ns
        self._tally(role, Result.COMPLETED)
        return self._event(Event.HANDSHAKE_COMPLETED, f"as {role}")

    def _abandon_handshake(self) -> None:
        self._release_handshake()
        self.handshake.clear()

    def _release_handshake(self) -> None:
        if self._handshake_index is not None:
            self._surroundings.indices.release(self._handshake_index)
            self._handshake_index, self._initiation = None, b""

    # Receiving packets, and keeping sessions fresh.

    def receive_opened(
        self, keypair: Keypair, plaintext: bytes, arrival: Arrival, now: Instant
    ) -> list[Effect]:
        """Take note of an authenticated transport message; its packet is for the interface."""
        size = MESSAGE_TRANSPORT_MIN_SIZE + len(plaintext)
        self.slot.note_received(now.boot, size, data=bool(plaintext))
        effects = self._roam(arrival) + self.confirm(keypair, now)
        return effects + self._refresh_for_receiving(now)

    def refresh(self, keypair: Keypair, now: Instant) -> list[Effect]:
        """Ask for a new session because a lane found the one that it sends under old or used up."""
        return self.send_initiation(now) if self.slot.current is keypair else []

    def _refresh_for_sending(self, keypair: Keypair, now: Instant) -> list[Effect]:
        return self.send_initiation(now) if is_old_for_sending(keypair, now.boot) else []

    def _refresh_for_receiving(self, now: Instant) -> list[Effect]:
        current = self.slot.current
        if self._has_asked_for_rekey or current is None:
            return []
        if not is_old_for_receiving(current, now.boot):
            return []
        self._has_asked_for_rekey = True
        return self.send_initiation(now)

    def _roam(self, arrival: Arrival) -> list[Effect]:
        has_moved = self.slot.endpoint != arrival.endpoint
        self.slot.roam(arrival)
        return [self._event(Event.ROAMED, str(arrival.endpoint))] if has_moved else []

    # Timers.

    def handle_timeout(self, now: Instant) -> list[Effect]:
        """Do what is due."""
        effects: list[Effect] = []
        for timer in self.timers.due(now.boot):
            # One that is handled may put off the next.
            if timer in self.timers.due(now.boot):
                effects += self._handle_timer(timer, now)
        return effects

    def _handle_timer(self, timer: Timer, now: Instant) -> list[Effect]:
        match timer:
            case Timer.RETRANSMIT_HANDSHAKE:
                return self._retry_handshake(now)
            case Timer.SEND_KEEPALIVE:
                self.timers.keepalive_expired(now.boot)
                return self.send_keepalive(now)
            case Timer.NEW_HANDSHAKE:
                self._silent_since = self.slot.first_data_sent_at
                self.timers.new_handshake_expired(self._surroundings.jitter())
                self.slot.source = None
                return self.send_initiation(now)
            case Timer.ZERO_KEY_MATERIAL:
                return self._zero_keys()
            case Timer.PERSISTENT_KEEPALIVE:
                self.timers.persistent_keepalive_expired()
                return self.send_keepalive(now)

    def _retry_handshake(self, now: Instant) -> list[Effect]:
        if self._attempts > MAX_TIMER_HANDSHAKES:
            self.timers.gave_up(now.boot)
            self._tally(Role.INITIATOR, Result.GAVE_UP)
            dropped = self._outbox.drop_staged(DropReason.STAGED_OVERFLOW)
            return [self._event(Event.HANDSHAKE_GAVE_UP), *dropped]
        self._attempts += 1
        self.slot.source = None
        self.timers.retransmit_expired()
        return self.send_initiation(now, is_retry=True)

    def _zero_keys(self) -> list[Effect]:
        self.timers.keys_zeroed()
        self._sessions.clear()
        self._abandon_handshake()
        return [self._event(Event.KEYS_ZEROED)]

    def _event(self, event: Event, detail: str = "") -> PeerEvent:
        return PeerEvent(self.public_key, event, detail)

    def _tally(self, role: Role, result: Result) -> None:
        self._surroundings.handshakes[role, result] += 1
