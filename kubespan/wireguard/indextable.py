"""Local index to handshake or keypair: how a datagram finds its peer before it is authenticated.

One table for the whole interface, so that an index never names two things. Indices are random, not
counted or derived, so that they tell nobody anything but the queue of the peer. Paper §5.4.2 and
§6; docs/adr/0023.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from kubespan.model.constants import RECEIVE_QUEUE_BITS
from kubespan.wireguard.datapath import Keypair

PeerT = TypeVar("PeerT")
_QUEUE_SHIFT: Final = 32 - RECEIVE_QUEUE_BITS


class IndexTable(Generic[PeerT]):
    """The local indices in use and what each of them names."""

    def __init__(self) -> None:
        self._handshakes: dict[int, PeerT] = {}
        self._keypairs: dict[int, tuple[PeerT, Keypair]] = {}

    def allocate(
        self,
        peer: PeerT,
        queue: int | None,
        random: Callable[[int], bytes],
        is_free: Callable[[int], bool],
    ) -> int:
        """Return a new random index that names the handshake of a peer, and the peer's queue.

        `is_free` tells whether the data path is done with an index, which may be later than here.
        """
        while True:
            index = _in_queue(int.from_bytes(random(4), "little"), queue)
            if index not in self._handshakes and index not in self._keypairs and is_free(index):
                self._handshakes[index] = peer
                return index

    def promote(self, index: int, keypair: Keypair) -> None:
        """Make an index that names a handshake name the keypair that came of it."""
        self._keypairs[index] = (self._handshakes.pop(index), keypair)

    def release(self, index: int) -> None:
        """Make an index name nothing."""
        self._handshakes.pop(index, None)
        self._keypairs.pop(index, None)

    def handshake(self, index: int) -> PeerT | None:
        """Return the peer whose handshake has this index."""
        return self._handshakes.get(index)

    def keypair(self, index: int) -> tuple[PeerT, Keypair] | None:
        """Return the keypair that has this index, and its peer."""
        return self._keypairs.get(index)

    def peer(self, index: int) -> PeerT | None:
        """Return the peer that has this index for a handshake or a keypair."""
        entry = self._keypairs.get(index)
        return entry[0] if entry is not None else self._handshakes.get(index)


def _in_queue(index: int, queue: int | None) -> int:
    if queue is None:
        return index
    return queue << _QUEUE_SHIFT | index & (1 << _QUEUE_SHIFT) - 1
