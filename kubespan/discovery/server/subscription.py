"""One watcher of a cluster: what it has not been told yet, within a bound.

Knows nothing of streams. Whoever serves the watcher sets `on_change`, and on each call of it, and
once before, takes until there is nothing; then looks whether this was the end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from kubespan.discovery.record import Notification
from kubespan.model.constants import MAX_UNDELIVERED


class Subscription:
    """A snapshot and the changes after it, in order, none missing, or else `is_cancelled`."""

    __slots__ = ("_changes", "_leave", "_snapshot", "is_cancelled", "is_ended", "on_change")

    on_change: Callable[[], None]
    """Called when something can be taken and when the subscription is over; must not raise."""

    is_cancelled: bool
    """Whether a change was lost because too many waited: the stream ends with ABORTED."""

    is_ended: bool
    """Whether the server stops: the stream ends with OK, once everything is taken."""

    def __init__(self, snapshot: Notification, leave: Callable[[Subscription], None]) -> None:
        self._snapshot: Notification | None = snapshot
        self._changes: deque[Notification] = deque()
        self._leave = leave
        self.on_change = _nobody_waits
        self.is_cancelled = False
        self.is_ended = False

    def take(self) -> Notification | None:
        """Return what is to be told next, or None when nothing waits."""
        if self._snapshot is not None:
            snapshot, self._snapshot = self._snapshot, None
            return snapshot
        return self._changes.popleft() if self._changes else None

    def offer(self, change: Notification) -> bool:
        """Let a change wait behind the others; return whether there was room, else it is over."""
        if len(self._changes) >= MAX_UNDELIVERED:
            self._throw_away()
            self.is_cancelled = True
        else:
            self._changes.append(change)
        self.on_change()
        return not self.is_cancelled

    def end(self) -> None:
        """No change follows; those that wait can still be taken."""
        self.is_ended = True
        self.on_change()

    def close(self) -> None:
        """Nobody watches any more: nothing waits and nothing will. May be repeated."""
        self._throw_away()
        self._leave(self)

    def _throw_away(self) -> None:
        self._snapshot = None
        self._changes.clear()


def _nobody_waits() -> None:
    """Do nothing: whoever serves the watcher has not begun yet."""
