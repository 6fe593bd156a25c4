"""The way from the core to the native data path, and the only one.

Chooses between native and pure, dresses native memory in our values, and names what lanes hand up.
It never touches a packet.
"""

from kubespan.fastpath.door import (
    NATIVE,
    TUN_QUEUES,
    check_environment,
    create_lanes,
    create_path,
    implementation,
    provider,
    thread_count,
)
from kubespan.fastpath.lanes import LaneOptions, Lanes, Upcall, UpcallKind

__all__ = [
    "NATIVE",
    "TUN_QUEUES",
    "LaneOptions",
    "Lanes",
    "Upcall",
    "UpcallKind",
    "check_environment",
    "create_lanes",
    "create_path",
    "implementation",
    "provider",
    "thread_count",
]
