"""A userspace WireGuard: the handshake in Python, every transport packet in a native fast path.

Each package below is a floor; a floor imports only floors below it. `ARCHITECTURE.md` has the map.
"""

__version__ = "0.1.0"
