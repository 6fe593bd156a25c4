"""Where a service sends us: a target that is taken only if it is a plain host and port.

gRPC would take much more for a target (files of sockets, other resolvers), and the service is not
to choose among those.
"""

from __future__ import annotations

import re
from typing import Final

DEFAULT_PORT: Final = 443
LONGEST_TARGET: Final = 261
"""Characters: a name of 253 (RFC 1035 §2.3.4), two brackets, a colon and a port."""

_TARGET: Final = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?")


def redirect_target(endpoint: str) -> str | None:
    """Return `host:port`, with port 443 where none is named; None if it is no such thing."""
    match = _TARGET.fullmatch(endpoint)
    if match is None:
        return None
    port = int(match[2]) if match[2] else DEFAULT_PORT
    return f"{match[1]}:{port}" if 0 < port < 65536 else None
