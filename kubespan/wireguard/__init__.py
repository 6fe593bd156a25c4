"""When to talk: the peers of one WireGuard interface, as a state machine without I/O.

Datagrams, packets, commands, time and randomness come in as arguments; effects go out as return
values. Nothing here reads a clock, opens a socket, logs or starts a thread. The door is
`interface.Interface`; `datapath` holds what the core shares with whatever moves the packets.
"""
