"""Which counters of a session have been seen: the sliding window against replays.

Holds no key and trusts its caller: a counter may be accepted only after its message has been
authenticated. RFC 6479 in purpose; kept here as one big integer instead of a ring of words.
"""

from __future__ import annotations

from kubespan.model.constants import REJECT_AFTER_MESSAGES, REPLAY_WINDOW

_MASK = (1 << (REPLAY_WINDOW + 1)) - 1


class ReplayWindow:
    """The highest counter accepted, and which of the REPLAY_WINDOW counters below it were too."""

    __slots__ = ("_highest", "_seen")

    def __init__(self) -> None:
        self._highest = -1
        self._seen = 0

    def accept(self, counter: int) -> bool:
        """Mark an authenticated counter as seen; False if it was, or is too old or too high."""
        if counter >= REJECT_AFTER_MESSAGES or counter < self._highest - REPLAY_WINDOW:
            return False
        ahead = counter - self._highest
        if ahead > 0:
            # A jump past the whole window leaves nothing of it, however far it goes.
            self._seen = (self._seen << min(ahead, REPLAY_WINDOW + 1)) & _MASK | 1
            self._highest = counter
            return True
        bit = 1 << -ahead
        if self._seen & bit:
            return False
        self._seen |= bit
        return True
