"""What all peers of one interface share: who we are, where sessions live, chance, and a tally.

The interface makes it and is the only one to change `local`; peers read it. Nothing is decided
here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from kubespan.model.constants import REKEY_TIMEOUT_JITTER
from kubespan.model.keys import PresharedKey, PrivateKey, PublicKey
from kubespan.noise.handshake import LocalStatic
from kubespan.wireguard.datapath import DataPath
from kubespan.wireguard.indextable import IndexTable

PeerT = TypeVar("PeerT")
KeyLog = Callable[[PrivateKey, PublicKey, PrivateKey, PresharedKey], None]
"""Is told local private, remote public, ephemeral private and preshared key of a handshake."""


class Role(StrEnum):
    """Which part we have in a handshake."""

    INITIATOR = "initiator"
    RESPONDER = "responder"


class Result(StrEnum):
    """What became of a handshake, or of our message in it."""

    SENT = "sent"
    COMPLETED = "completed"
    GAVE_UP = "gave_up"
    REFUSED = "refused"


@dataclass(slots=True)
class Surroundings(Generic[PeerT]):
    """The world as a peer sees it."""

    path: DataPath
    random: Callable[[int], bytes]
    """Return so many random bytes, fit for keys."""

    local: LocalStatic | None = None
    indices: IndexTable[PeerT] = field(default_factory=IndexTable)
    handshakes: Counter[tuple[Role, Result]] = field(default_factory=Counter)
    key_log: KeyLog | None = None
    """Where the secrets of handshakes go when the operator wants the tunnel to be readable."""

    def allocate_index(self, peer: PeerT, queue: int | None) -> int:
        """Return a new random index that names the handshake of a peer, and its slot's queue."""
        return self.indices.allocate(peer, queue, self.random, self.path.is_index_free)

    def ephemeral(self, remote: PublicKey, preshared: PresharedKey) -> PrivateKey:
        """Return a new private key for one handshake with `remote`, once it is logged."""
        ephemeral = PrivateKey(self.random(32))
        if self.key_log is not None and self.local is not None:
            self.key_log(self.local.private_key, remote, ephemeral, preshared)
        return ephemeral

    def jitter(self) -> float:
        """Return how much later than planned to try again: 0 to REKEY_TIMEOUT_JITTER seconds."""
        return int.from_bytes(self.random(4), "little") / 2**32 * REKEY_TIMEOUT_JITTER
