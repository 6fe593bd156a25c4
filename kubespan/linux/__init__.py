"""What only Linux has: TUN devices, network namespaces, and netlink to hear about them.

Nothing here knows WireGuard. Whatever blocks, blocks in a thread of its own. pyroute2 is imported
by the threads that use it, because it takes longer to import than everything else takes to start.
"""
