"""The windows through which others look in and change things: WireGuard's protocol, and our own.

WireGuard's is for an interface: what is said is in `uapi`, and does no I/O; how it gets here is in
`listener` and `server`. Ours is for a node: `application` and `window` say what can be asked,
`rendering` and `report` what is answered, `resource_server` serves it and `client` asks.
"""
