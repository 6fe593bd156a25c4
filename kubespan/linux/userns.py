"""Whether the network that we are in is ours to steer: a user namespace may have no say over it.

Inside one, root has all capabilities, but only over what belongs to it or to one below it.
man 7 user_namespaces, man 2 ioctl_ns.
"""

from __future__ import annotations

import fcntl
import os
from errno import EPERM
from typing import Final

NETWORK: Final = "/proc/thread-self/ns/net"
NS_GET_USERNS: Final = 0xB701
"""Linux include/uapi/linux/nsfs.h."""


def owns_network() -> bool:
    """Tell whether the network namespace belongs to our user namespace, or to one below it.

    Only then do capabilities count there. Where nobody can say, it is taken for ours.
    """
    try:
        with open(NETWORK) as network:  # noqa: PTH123  a namespace is no file with a path
            os.close(fcntl.ioctl(network, NS_GET_USERNS))
    except OSError as error:
        return error.errno != EPERM
    return True
