"""The way from the core to the native data path, and the only one.

Chooses between native and pure, dresses native memory in our values, and names what lanes hand up.
It never touches a packet.
"""

from kubespan.fastpath.door import NATIVE, create_lanes, create_path, implementation, provider
from kubespan.fastpath.lanes import LaneOptions, Lanes, Upcall, UpcallKind

__all__ = [
    "NATIVE",
    "LaneOptions",
    "Lanes",
    "Upcall",
    "UpcallKind",
    "create_lanes",
    "create_path",
    "implementation",
    "provider",
]
