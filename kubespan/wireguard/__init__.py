"""When to talk: the WireGuard peers of one interface, as a state machine without input or output.

Datagrams, packets, commands, time and randomness come in as arguments; effects go out as return values. Nothing here
reads a clock, opens a socket, logs or starts a thread. ``interface.Interface`` is the door; ``datapath`` holds the
Protocols through which the core shares sessions, routes and times with whatever moves the packets.
"""
