"""Who else is there: the Sidero discovery protocol, as a client and as a server.

Never decides what becomes of what it hears: that is `mesh`. Nothing in here moves a packet.
"""
