"""What a request asks, and who asks it: its parameters, and the user at the other end."""

from __future__ import annotations

import math
import os
import socket
import struct

from aiohttp import web

from kubespan.api.refusal import Reason, Refused

CREDENTIALS = struct.Struct("3i")
"""Process, user and group of the other end. man 7 unix, SO_PEERCRED."""


def text(request: web.Request, name: str) -> str:
    """Return a parameter, empty if it is not there."""
    return request.query.get(name, "")


def flag(request: web.Request, name: str) -> bool:
    """Whether a parameter is 1."""
    return text(request, name) == "1"


def number(request: web.Request, name: str, default: float) -> float:
    """Return a parameter that is a number from 0 up. Raises Refused."""
    given = text(request, name)
    if not given:
        return default
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise Refused(Reason.WRONG, f"{name}={given} is not a number from 0 up")
    return value


def demand_owner(request: web.Request, what: str) -> None:
    """Let only root, and the user who runs the node, go on. Raises Refused."""
    if _user(request) not in (0, os.geteuid()):
        who = "root or the user who runs the node"
        raise Refused(Reason.NOT_PERMITTED, f"only {who} may {what}")


def _user(request: web.Request) -> int | None:
    transport = request.transport
    one = None if transport is None else transport.get_extra_info("socket")
    if one is None or one.family != socket.AF_UNIX:
        return None
    raw = one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    user: int = CREDENTIALS.unpack(raw)[1]
    return user
