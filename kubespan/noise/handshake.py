"""The handshake of Noise_IKpsk2 as WireGuard uses it, both roles, for one peer.

Messages in, messages out; no clock, no randomness, no table of peers, and no macs, which
`cookie.py` adds and checks. Comments name the tokens of the Noise pattern:

    <- s
    ...
    -> e, es, s, ss, {timestamp}
    <- e, ee, se, psk, {}

A message that cannot be accepted leaves no trace: everything is computed on a copy, and only the
last lines of a method assign. Chaining keys, ephemeral keys and the static-static secret are
overwritten as soon as they are done with; results on their way through Python's immutable bytes
(Diffie-Hellman results, derived keys) can only be let go. Paper §5.4; Noise specification §7.5, §9.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf
from typing import Final

from kubespan.model.constants import HANDSHAKE_INITIATION_INTERVAL
from kubespan.model.drop import DropReason
from kubespan.model.errors import InternalError, ProtocolError
from kubespan.model.keys import PresharedKey, PrivateKey, PublicKey
from kubespan.noise.messages import Initiation, Response
from kubespan.noise.primitives import dh, hash_
from kubespan.noise.symmetric import SymmetricState
from kubespan.noise.tai64n import TIMESTAMP_SIZE

_CONSTRUCTION: Final = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
_IDENTIFIER: Final = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
_INITIAL_CHAINING_KEY: Final = hash_(_CONSTRUCTION)
# Each of these is one for all peers, most of which need no other; wiping the key changes nothing.
_NO_PRESHARED_KEY: Final = PresharedKey()
_NEVER: Final = -inf
_BEFORE_ALL_TIMESTAMPS: Final = bytes(TIMESTAMP_SIZE)
_INITIAL_HASH: Final = hash_(_INITIAL_CHAINING_KEY, _IDENTIFIER)


class HandshakeState(Enum):
    """Which message was last made or accepted.

    ZEROED to CREATED_INITIATION to CONSUMED_RESPONSE on one side, ZEROED to CONSUMED_INITIATION to
    CREATED_RESPONSE on the other, then ZEROED again. A new initiation, ours or theirs, may begin
    anew from anywhere. Where theirs crosses one of ours, ours goes on waiting for its answer once
    theirs is answered: CREATED_INITIATION again.
    """

    ZEROED = auto()
    CREATED_INITIATION = auto()
    CONSUMED_INITIATION = auto()
    CREATED_RESPONSE = auto()
    CONSUMED_RESPONSE = auto()


class LocalStatic:
    """Who we are, with the start of every handshake that calls us."""

    __slots__ = ("_called", "private_key")

    def __init__(self, private_key: PrivateKey) -> None:
        self.private_key = private_key
        self._called = _initial_state(private_key.public_key)

    @property
    def public_key(self) -> PublicKey:
        """What others call us by."""
        return self.private_key.public_key

    def called(self) -> SymmetricState:
        """Start the symmetric state of an initiation that calls us."""
        return self._called.copy()


@dataclass(frozen=True, slots=True)
class OpenedInitiation:
    """An initiation that says who calls; nothing yet shows that it is true."""

    remote_static: PublicKey
    symmetric: SymmetricState = field(repr=False)


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """What a completed handshake leaves: two keys of 32 bytes and the names of the session."""

    send_key: bytes = field(repr=False)
    receive_key: bytes = field(repr=False)
    is_initiator: bool
    local_index: int
    remote_index: int


def open_initiation(local: LocalStatic, message: Initiation) -> OpenedInitiation:
    """Learn who calls from an initiation whose mac1 is right; the timestamp stays sealed.

    Raises ProtocolError: LOW_ORDER_POINT, BAD_AEAD. Source: paper §5.4.2.
    """
    symmetric = local.called()
    _mix_ephemeral(symmetric, message.ephemeral)  # e
    symmetric.mix_key(dh(local.private_key, message.ephemeral))  # es
    static = symmetric.decrypt_and_hash(message.encrypted_static)  # s
    return OpenedInitiation(PublicKey(static), symmetric)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An initiation of ours that waits for its answer while we answer one of theirs."""

    symmetric: SymmetricState = field(repr=False)
    ephemeral: PrivateKey = field(repr=False)
    local_index: int


class Handshake:
    """The handshake with one peer, for as long as that peer is configured.

    `preshared_key` may be replaced at any time and counts from the next message on.
    `latest_timestamp` and `last_initiation_consumed_at` outlive every single handshake. An index
    is 0 while there is none. Without a `local` there is no private key and nobody to be.
    """

    __slots__ = (
        "_ephemeral",
        "_local",
        "_remote_ephemeral",
        "_static_static",
        "_symmetric",
        "_waiting",
        "last_initiation_consumed_at",
        "latest_timestamp",
        "local_index",
        "preshared_key",
        "remote_index",
        "remote_static",
        "state",
    )

    def __init__(self, local: LocalStatic | None, remote_static: PublicKey) -> None:
        self.remote_static = remote_static
        self.preshared_key = _NO_PRESHARED_KEY
        self.latest_timestamp = _BEFORE_ALL_TIMESTAMPS
        self.last_initiation_consumed_at = _NEVER
        self.state = HandshakeState.ZEROED
        self.local_index = 0
        self.remote_index = 0
        self._ephemeral: PrivateKey | None = None
        self._remote_ephemeral: PublicKey | None = None
        self._symmetric: SymmetricState | None = None
        self._waiting: _Waiting | None = None
        self._static_static = bytearray()
        self._local: LocalStatic | None = None
        self.set_local(local)

    @property
    def is_dead(self) -> bool:
        """Whether there can be no handshake: no private key, or a static key of low order."""
        return not self._static_static

    def set_local(self, local: LocalStatic | None) -> None:
        """Become someone else: any handshake under way is forgotten."""
        self.clear()
        self._wipe_static_static()
        self._local = local
        if local is not None:
            self._static_static = _static_static(local, self.remote_static)

    def create_initiation(
        self, *, ephemeral: PrivateKey, local_index: int, timestamp: bytes
    ) -> bytes:
        """Begin a handshake: 148 bytes, both macs zero. Takes `ephemeral` over and wipes it later.

        Raises ProtocolError, state untouched: NO_KEY, LOW_ORDER_POINT. Source: paper §5.4.2.
        """
        local = self._living()
        symmetric = _initial_state(self.remote_static)
        _mix_ephemeral(symmetric, ephemeral.public_key)  # e
        symmetric.mix_key(dh(ephemeral, self.remote_static))  # es
        encrypted_static = symmetric.encrypt_and_hash(local.public_key.raw)  # s
        symmetric.mix_key(self._static_static)  # ss
        encrypted_timestamp = symmetric.encrypt_and_hash(timestamp)

        self._forget_waiting()
        self._become(HandshakeState.CREATED_INITIATION, symmetric, ephemeral=ephemeral)
        self.local_index = local_index
        self.remote_index = 0
        return Initiation(
            local_index, ephemeral.public_key, encrypted_static, encrypted_timestamp
        ).build()

    def consume_initiation(
        self, opened: OpenedInitiation, message: Initiation, *, boot: float
    ) -> None:
        """Accept the initiation that `opened` came from; one of our own waits until it is answered.

        Beyond the paper, where ours would be given up: when both begin at once, both would give up,
        and try again 5 s later, perhaps both at once. Raises ProtocolError, state untouched:
        NO_KEY, LOW_ORDER_POINT, BAD_AEAD, REPLAYED, OLD_TIMESTAMP, HANDSHAKE_FLOOD.
        Source: paper §5.4.2, §5.1 (replay); the kernel's noise.c (flood).
        """
        self._living()
        symmetric = opened.symmetric.copy()
        symmetric.mix_key(self._static_static)  # ss
        timestamp = symmetric.decrypt_and_hash(message.encrypted_timestamp)
        if timestamp == self.latest_timestamp:
            raise ProtocolError(DropReason.REPLAYED)
        if timestamp < self.latest_timestamp:
            raise ProtocolError(DropReason.OLD_TIMESTAMP)
        if boot < self.last_initiation_consumed_at + HANDSHAKE_INITIATION_INTERVAL:
            raise ProtocolError(DropReason.HANDSHAKE_FLOOD)

        self._set_aside()
        self._become(
            HandshakeState.CONSUMED_INITIATION, symmetric, remote_ephemeral=message.ephemeral
        )
        self.latest_timestamp = timestamp
        self.last_initiation_consumed_at = boot
        self.remote_index = message.sender_index

    def create_response(self, *, ephemeral: PrivateKey, local_index: int) -> bytes:
        """Answer the consumed initiation: 92 bytes, both macs zero. Wipes `ephemeral`.

        Raises InternalError where there is nothing to answer. Source: paper §5.4.3.
        """
        if self.state is not HandshakeState.CONSUMED_INITIATION:
            raise InternalError(f"a response cannot be created in state {self.state.name}")
        assert self._symmetric is not None
        assert self._remote_ephemeral is not None
        symmetric = self._symmetric.copy()
        _mix_ephemeral(symmetric, ephemeral.public_key)  # e
        symmetric.mix_key(dh(ephemeral, self._remote_ephemeral))  # ee
        symmetric.mix_key(dh(ephemeral, self.remote_static))  # se
        symmetric.mix_key_and_hash(self.preshared_key.raw)  # psk
        encrypted_empty = symmetric.encrypt_and_hash(b"")

        self._become(HandshakeState.CREATED_RESPONSE, symmetric)
        self.local_index = local_index
        ephemeral.wipe()
        return Response(
            local_index, self.remote_index, ephemeral.public_key, encrypted_empty
        ).build()

    def consume_response(self, message: Response) -> None:
        """Accept the answer to our initiation, found by its receiver index.

        Raises ProtocolError, state untouched: UNEXPECTED, LOW_ORDER_POINT, BAD_AEAD.
        Source: paper §5.4.3.
        """
        if self.state is not HandshakeState.CREATED_INITIATION:
            raise ProtocolError(DropReason.UNEXPECTED)
        local = self._living()
        assert self._symmetric is not None
        assert self._ephemeral is not None
        symmetric = self._symmetric.copy()
        _mix_ephemeral(symmetric, message.ephemeral)  # e
        symmetric.mix_key(dh(self._ephemeral, message.ephemeral))  # ee
        symmetric.mix_key(dh(local.private_key, message.ephemeral))  # se
        symmetric.mix_key_and_hash(self.preshared_key.raw)  # psk
        symmetric.decrypt_and_hash(message.encrypted_empty)

        self._become(HandshakeState.CONSUMED_RESPONSE, symmetric)
        self.remote_index = message.sender_index

    def begin_session(self) -> SessionKeys:
        """Derive the keys of the completed handshake and forget everything that led to them.

        What is left is an initiation of ours that theirs has crossed, if there is one. Raises
        InternalError where no handshake is complete. Source: paper §5.4.5.
        """
        is_initiator = self.state is HandshakeState.CONSUMED_RESPONSE
        if not is_initiator and self.state is not HandshakeState.CREATED_RESPONSE:
            raise InternalError(f"a session cannot begin in state {self.state.name}")
        assert self._symmetric is not None
        from_initiator, from_responder = self._symmetric.split()
        keys = SessionKeys(
            send_key=from_initiator if is_initiator else from_responder,
            receive_key=from_responder if is_initiator else from_initiator,
            is_initiator=is_initiator,
            local_index=self.local_index,
            remote_index=self.remote_index,
        )
        waiting, self._waiting = self._waiting, None
        self.clear()
        if waiting is not None:
            self._resume(waiting)
        return keys

    def clear(self) -> None:
        """Forget any handshake under way, wiping its secrets; what outlives a handshake stays."""
        self._become(HandshakeState.ZEROED, None)
        self._forget_waiting()
        self.local_index = 0
        self.remote_index = 0

    def _living(self) -> LocalStatic:
        if self._local is None:
            raise ProtocolError(DropReason.NO_KEY)
        if self.is_dead:
            raise ProtocolError(DropReason.LOW_ORDER_POINT)
        return self._local

    def _become(
        self,
        state: HandshakeState,
        symmetric: SymmetricState | None,
        *,
        ephemeral: PrivateKey | None = None,
        remote_ephemeral: PublicKey | None = None,
    ) -> None:
        """Hold the given values and wipe those held before: nothing else changes the state."""
        if self._symmetric is not None:
            self._symmetric.wipe()
        if self._ephemeral is not None:
            self._ephemeral.wipe()
        self.state = state
        self._symmetric = symmetric
        self._ephemeral = ephemeral
        self._remote_ephemeral = remote_ephemeral

    def _set_aside(self) -> None:
        """Let an initiation that waits for its answer wait elsewhere."""
        if self.state is HandshakeState.CREATED_INITIATION:
            assert self._symmetric is not None
            assert self._ephemeral is not None
            self._waiting = _Waiting(self._symmetric, self._ephemeral, self.local_index)
            self._symmetric = self._ephemeral = None

    def _resume(self, waiting: _Waiting) -> None:
        self.state = HandshakeState.CREATED_INITIATION
        self._symmetric, self._ephemeral = waiting.symmetric, waiting.ephemeral
        self.local_index = waiting.local_index

    def _forget_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.symmetric.wipe()
            self._waiting.ephemeral.wipe()
            self._waiting = None

    def _wipe_static_static(self) -> None:
        self._static_static[:] = bytes(len(self._static_static))
        self._static_static = bytearray()


def _initial_state(responder: PublicKey) -> SymmetricState:
    """Start a handshake that calls `responder`, whose key is known beforehand (<- s)."""
    symmetric = SymmetricState(_INITIAL_CHAINING_KEY, _INITIAL_HASH)
    symmetric.mix_hash(responder.raw)
    return symmetric


def _mix_ephemeral(symmetric: SymmetricState, ephemeral: PublicKey) -> None:
    symmetric.mix_hash(ephemeral.raw)
    # A pattern with a preshared key mixes ephemerals into the key too. Noise specification §9.2.
    symmetric.mix_key(ephemeral.raw)


def _static_static(local: LocalStatic, remote_static: PublicKey) -> bytearray:
    """Agree with a peer once for all handshakes; empty where its key is of low order."""
    try:
        return bytearray(dh(local.private_key, remote_static))
    except ProtocolError:
        return bytearray()
