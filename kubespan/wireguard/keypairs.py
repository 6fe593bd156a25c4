"""The three sessions of a peer, and how one becomes another.

Values only: what is installed where is for others. Paper §6.1 and §6.2; kernel noise.c.
"""

from __future__ import annotations

from typing import NamedTuple

from kubespan.wireguard.datapath import Keypair


class Keypairs(NamedTuple):
    """Which session is which. Only `current` seals; all three open."""

    previous: Keypair | None = None
    current: Keypair | None = None
    next: Keypair | None = None

    def initiated(self, new: Keypair) -> Keypairs:
        """Take in the session of a handshake that we began: both ends can use it at once.

        An unused `next` outlives `current`: the peer may be about to send under it.
        """
        return Keypairs(self.next or self.current or self.previous, new, None)

    def answered(self, new: Keypair) -> Keypairs:
        """Take in the session of a handshake that we answered: the peer has to use it first."""
        return Keypairs(None if self.current else self.previous, self.current, new)

    def confirmed(self) -> Keypairs:
        """Make `next` the one that seals, now that the peer has used it."""
        return Keypairs(self.current or self.previous, self.next, None)

    def without_sending(self) -> Keypairs:
        """Leave nothing that seals; what is under way from the peer can still be opened."""
        return Keypairs(self.current or self.previous, None, self.next)
