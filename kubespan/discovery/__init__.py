"""Who else is there: the Sidero discovery protocol, as a client and as a server.

Never decides what becomes of what it hears: that is `mesh`. Nothing in here moves a packet.
"""

import os

# gRPC's C core reads both when it is first imported, and whoever imports it here has come through
# this package. It would write lines of its own to standard error, one for each bad connection; and
# it would start its threads again in every child that uvloop forks, one in a hundred of which dies
# of that before it becomes another program.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
