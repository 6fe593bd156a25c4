"""The window through which `wg` and others look in and change things: WireGuard's own protocol.

What is said is in `uapi`, and does no I/O; how it gets here is in `listener` and `server`.
"""
