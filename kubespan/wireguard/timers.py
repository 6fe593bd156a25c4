"""The five timers of a peer, as rules over times instead of alarms that are set.

Lanes cannot call Python for each packet, so nothing is armed when a packet moves: the slot keeps
the times that matter, and what is due follows from them. Only what no packet can change (a retry, a
second keepalive, the end of the keys) is a deadline kept here. Nothing is sent from here.
Paper §6; kernel timers.c.

    timer                  due                                                    until
    RETRANSMIT_HANDSHAKE   initiation sent + REKEY_TIMEOUT + jitter, or planned   handshake complete
    SEND_KEEPALIVE         first unanswered data received + KEEPALIVE_TIMEOUT     anything sent
    NEW_HANDSHAKE          first unanswered data sent + KEEPALIVE_TIMEOUT
                           + REKEY_TIMEOUT + jitter                               anything received
    ZERO_KEY_MATERIAL      session derived + ZERO_KEY_AFTER                       -
    PERSISTENT_KEEPALIVE   anything sent or received + interval                   interval 0
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto

from kubespan.model.constants import KEEPALIVE_TIMEOUT, REKEY_TIMEOUT, ZERO_KEY_AFTER
from kubespan.wireguard.datapath import PeerSlot


class Timer(Enum):
    """What can come due. The order is that in which timers due together are handled."""

    RETRANSMIT_HANDSHAKE = auto()
    SEND_KEEPALIVE = auto()
    NEW_HANDSHAKE = auto()
    ZERO_KEY_MATERIAL = auto()
    PERSISTENT_KEEPALIVE = auto()


class Timers:
    """The timers of one peer; all times are boot seconds. Nothing is due unless it is running."""

    __slots__ = (
        "_another_keepalive_since",
        "_new_handshake_jitter",
        "_persistent_spent_at",
        "_retransmit_at",
        "_slot",
        "_started_at",
        "_zero_keys_at",
        "persistent_interval",
    )

    def __init__(self, slot: PeerSlot) -> None:
        self._slot = slot
        self.persistent_interval = 0
        self._started_at: float | None = None
        self._retransmit_at: float | None = None
        self._zero_keys_at: float | None = None
        self._another_keepalive_since: float | None = None
        self._persistent_spent_at = 0.0
        self._new_handshake_jitter = 0.0

    @property
    def is_running(self) -> bool:
        """Whether the peer is started."""
        return self._started_at is not None

    def start(self, boot: float) -> None:
        """Let timers come due, for what happens from now on."""
        self._started_at = boot

    def stop(self) -> None:
        """Forget everything that was pending; nothing comes due until started again."""
        self._started_at = None
        self._retransmit_at = None
        self._zero_keys_at = None
        self._another_keepalive_since = None
        self._persistent_spent_at = 0.0
        self._slot.forget_data_sent()
        self._slot.forget_data_received()

    def due(self, boot: float) -> list[Timer]:
        """Return the timers whose time has come; they stay due until told that they expired."""
        return [timer for timer, due_at in self._deadlines() if due_at <= boot]

    def next_check(self, boot: float) -> float | None:
        """Return when to look again, None if nothing can come due by itself.

        While there are keys, lanes may move packets unseen; what that makes due is at least the
        shortest timeout away, so it is enough to look as often.
        """
        if not self.is_running:
            return None
        times = [due_at for _, due_at in self._deadlines()]
        if self._zero_keys_at is not None:
            times.append(
                boot + min(KEEPALIVE_TIMEOUT, self.persistent_interval or KEEPALIVE_TIMEOUT)
            )
        return min(times, default=None)

    def initiation_sent(self, boot: float, jitter: float) -> None:
        """Expect a response within REKEY_TIMEOUT and `jitter`."""
        if self.is_running:
            # In this order the sum is never less than boot + REKEY_TIMEOUT, which allows the retry.
            self._retransmit_at = boot + (REKEY_TIMEOUT + jitter)

    @property
    def is_handshake_expected(self) -> bool:
        """Whether an initiation is due some time, because one is planned or not answered."""
        return self._retransmit_at is not None

    def initiation_planned(self, at: float) -> None:
        """Let an initiation be due then."""
        if self.is_running:
            self._retransmit_at = at

    def retransmit_expired(self) -> None:
        """Note that the initiation is being sent again, or cannot be and is not any more."""
        self._retransmit_at = None

    def handshake_complete(self, jitter: float) -> None:
        """Expect no response any more; `jitter` is for the next new handshake."""
        self._retransmit_at = None
        self._new_handshake_jitter = jitter

    def session_derived(self, boot: float) -> None:
        """Forget all keys ZERO_KEY_AFTER from now, unless another session follows."""
        if self.is_running:
            self._zero_keys_at = boot + ZERO_KEY_AFTER

    def gave_up(self, boot: float) -> None:
        """Be silent: no retry, no keepalive, and keys that are left end in ZERO_KEY_AFTER."""
        self._retransmit_at = None
        self._another_keepalive_since = None
        self._slot.forget_data_received()
        if self._zero_keys_at is None:
            self.session_derived(boot)

    def keepalive_expired(self, boot: float) -> None:
        """Note that the keepalive is being sent; one more is due if more data came meanwhile."""
        since = self._keepalive_since()
        is_another = since is not None and self._slot.last_data_received_at > since
        self._another_keepalive_since = boot if is_another else None
        self._slot.forget_data_received()

    def new_handshake_expired(self, jitter: float) -> None:
        """Note that the handshake has begun; the next data sent makes another one due."""
        self._slot.forget_data_sent()
        self._new_handshake_jitter = jitter

    def keys_zeroed(self) -> None:
        """Note that there are no keys left."""
        self._zero_keys_at = None

    def persistent_keepalive_expired(self) -> None:
        """Note that the persistent keepalive is being sent; it counts from the next traffic."""
        self._persistent_spent_at = self._last_traffic_at()

    def _deadlines(self) -> Iterator[tuple[Timer, float]]:
        if self._started_at is None:
            return
        if self._retransmit_at is not None:
            yield Timer.RETRANSMIT_HANDSHAKE, self._retransmit_at
        keepalive_since = self._keepalive_since()
        if keepalive_since is not None:
            yield Timer.SEND_KEEPALIVE, keepalive_since + KEEPALIVE_TIMEOUT
        sent_at = self._slot.first_data_sent_at
        if sent_at:
            patience = KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + self._new_handshake_jitter
            yield Timer.NEW_HANDSHAKE, sent_at + patience
        if self._zero_keys_at is not None:
            yield Timer.ZERO_KEY_MATERIAL, self._zero_keys_at
        traffic_at = self._last_traffic_at()
        is_spent = traffic_at < self._started_at or traffic_at == self._persistent_spent_at
        if self.persistent_interval and not is_spent:
            yield Timer.PERSISTENT_KEEPALIVE, traffic_at + self.persistent_interval

    def _keepalive_since(self) -> float | None:
        another_since = self._another_keepalive_since
        if another_since is not None and self._slot.last_sent_at <= another_since:
            return another_since
        return self._slot.first_data_received_at or None

    def _last_traffic_at(self) -> float:
        return max(self._slot.last_sent_at, self._slot.last_received_at)
