"""Who else is there: the Sidero discovery protocol, as a client and as a server.

Never decides what becomes of what it hears: that is `mesh`. Nothing in here moves a packet.
"""

import os

# gRPC's C core would write lines of its own to standard error, one for each bad connection. It
# reads this when it is first imported, and whoever imports it here has come through this package.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
