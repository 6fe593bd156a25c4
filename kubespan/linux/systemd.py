"""Tells the service manager how a process is doing, where there is one that wants to know.

One datagram to one socket, which the manager names in the environment. sd_notify(3).
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

VARIABLE = "NOTIFY_SOCKET"


def notify(state: str) -> None:
    """The manager knows `READY=1`, `STOPPING=1` or the like. Does nothing where nobody asked."""
    path = os.environ.get(VARIABLE, "")
    if not path.startswith(("/", "@")):
        return
    # An abstract name is written with an @ and begins with a zero byte.
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one, suppress(OSError):
        one.sendto(state.encode(), address)
