"""What can go wrong, by whose fault it is: theirs, the operator's, ours, or the operating system's.

Carries what the handler needs and nothing else; never a key, never the text of a message.
"""

from __future__ import annotations

import os

from kubespan.model.drop import DropReason


class KubespanError(Exception):
    """Any failure that kubespan raises on purpose."""


class ProtocolError(KubespanError):
    """Theirs: something from the network is refused. Nothing changed; count `reason` and drop."""

    def __init__(self, reason: DropReason) -> None:
        super().__init__(reason.name)
        self.reason = reason


class ConfigError(KubespanError):
    """The operator's: a setting cannot be used. The message says what to write instead."""


class InternalError(KubespanError):
    """Ours: a bug."""


class SystemFault(KubespanError):
    """The operating system's: it refused `operation` with `errno`."""

    def __init__(self, operation: str, errno: int) -> None:
        super().__init__(f"{operation}: {os.strerror(errno)}")
        self.operation = operation
        self.errno = errno
