"""The sessions of one peer: made from handshakes, installed in its slot, and ended.

Keeps the slot and the index table in step, so that an index names a keypair exactly as long as the
slot holds it. Sends nothing. Paper §6.1 and §6.3.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from kubespan.model.constants import (
    REJECT_AFTER_MESSAGES,
    REJECT_AFTER_TIME,
    REKEY_AFTER_MESSAGES,
    REKEY_AFTER_TIME,
    REKEY_AFTER_TIME_RECEIVING,
)
from kubespan.noise.handshake import SessionKeys
from kubespan.wireguard.datapath import Keypair, PeerSlot
from kubespan.wireguard.keypairs import Keypairs
from kubespan.wireguard.surroundings import Surroundings

PeerT = TypeVar("PeerT")


def can_send(keypair: Keypair, boot: float) -> bool:
    """Tell whether a session may still seal: it is neither too old nor used up."""
    if boot >= keypair.created_at + REJECT_AFTER_TIME:
        return False
    return keypair.send_counter < REJECT_AFTER_MESSAGES


def can_receive(keypair: Keypair, boot: float) -> bool:
    """Tell whether a session is not too old to open what comes under it."""
    return boot <= keypair.created_at + REJECT_AFTER_TIME


def is_old_for_sending(keypair: Keypair, boot: float) -> bool:
    """Tell whether who sends under a session should ask for a new one."""
    if keypair.send_counter > REKEY_AFTER_MESSAGES:
        return True
    return keypair.is_initiator and boot > keypair.created_at + REKEY_AFTER_TIME


def is_old_for_receiving(keypair: Keypair, boot: float) -> bool:
    """Tell whether who only receives should ask for a new session, before this one ends."""
    return keypair.is_initiator and boot > keypair.created_at + REKEY_AFTER_TIME_RECEIVING


class Sessions(Generic[PeerT]):
    """Previous, current and next session of one peer."""

    __slots__ = ("_slot", "_surroundings", "_withheld_index")

    def __init__(self, slot: PeerSlot, surroundings: Surroundings[PeerT]) -> None:
        self._slot = slot
        self._surroundings = surroundings
        self._withheld_index: int | None = None

    def derive(self, keys: SessionKeys, boot: float) -> Keypair:
        """Return the keypair of a completed handshake, found by its index but not yet installed."""
        keypair = self._surroundings.path.create_keypair(
            send_key=keys.send_key,
            receive_key=keys.receive_key,
            local_index=keys.local_index,
            remote_index=keys.remote_index,
            is_initiator=keys.is_initiator,
            created_at=boot,
        )
        self._surroundings.indices.promote(keys.local_index, keypair)
        return keypair

    def sending(self, boot: float) -> Keypair | None:
        """Return the session that may seal at this moment."""
        current = self._slot.current
        return current if current is not None and can_send(current, boot) else None

    def is_withheld(self, keypair: Keypair) -> bool:
        """Tell whether nothing may be sent under a session although the peer has confirmed it."""
        return keypair.local_index == self._withheld_index

    def install_initiated(self, keypair: Keypair) -> None:
        """Let lanes use the session of a handshake that we began."""
        self._install(self._installed().initiated(keypair))

    def install_answered(self, keypair: Keypair) -> None:
        """Let lanes open what comes under the session of a handshake that we answered."""
        self._withheld_index = None
        self._install(self._installed().answered(keypair))

    def install_confirmed(self) -> None:
        """Let lanes send under `next`, or only go on receiving under it if it is withheld."""
        confirmed = self._installed().confirmed()
        if confirmed.current is not None and self.is_withheld(confirmed.current):
            confirmed = Keypairs(previous=confirmed.current)
        self._install(confirmed)

    def end_sending(self) -> None:
        """Send nothing under any session there is; what still comes can be opened until too old."""
        following = self._slot.next
        self._withheld_index = following.local_index if following is not None else None
        self._install(self._installed().without_sending())

    def clear(self) -> None:
        """Withdraw and wipe all sessions."""
        self._install(Keypairs())

    def _installed(self) -> Keypairs:
        return Keypairs(self._slot.previous, self._slot.current, self._slot.next)

    def _install(self, keypairs: Keypairs) -> None:
        kept = {keypair.local_index for keypair in keypairs if keypair is not None}
        for keypair in self._installed():
            if keypair is not None and keypair.local_index not in kept:
                self._surroundings.indices.release(keypair.local_index)
        self._slot.install(*keypairs)
