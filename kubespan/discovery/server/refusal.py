"""Why a call on the discovery server is refused, with the status that the stock service answers.

The numbers are gRPC's own; the message goes to whoever called, so it names no path and no other
caller. https://grpc.io/docs/guides/status-codes/
"""

from __future__ import annotations

from enum import IntEnum

from kubespan.model.errors import KubespanError


class RefusalCode(IntEnum):
    """The gRPC status code of a refusal."""

    INVALID_ARGUMENT = 3  # what was sent can never be right
    RESOURCE_EXHAUSTED = 8  # a limit is reached, or the disk is full
    UNAVAILABLE = 14  # the state cannot be kept just now


class Refusal(KubespanError):
    """A call that is not done, or not all of it; where something was done the raiser says so."""

    def __init__(self, code: RefusalCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
