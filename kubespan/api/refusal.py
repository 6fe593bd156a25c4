"""Why a request through the window was not granted: one vocabulary for both of its sides."""

from __future__ import annotations

from enum import Enum

from kubespan.model.errors import KubespanError


class Reason(Enum):
    """What kind of answer it is, as it travels."""

    CONDITION = "condition"
    """What was asked for does not hold, or is not there."""

    WRONG = "wrong"
    """The request, or a configuration in it, cannot be used."""

    NOT_RUNNING = "not-running"
    """There is no node to answer. Said by the client."""

    NOT_PERMITTED = "not-permitted"
    TIMED_OUT = "timed-out"
    FAULT = "fault"
    """The operating system refused something."""

    BUG = "bug"


class Refused(KubespanError):
    """A request that was not granted, with a line for whoever made it."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason
