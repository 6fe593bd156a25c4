"""Three system calls that Python 3.11 does not offer, and no more.

Each raises SystemFault, naming itself, when the system refuses. man 2 setns, prctl, inotify_init1.
"""

from __future__ import annotations

import ctypes
import os

from kubespan.model.errors import SystemFault

CLONE_NEWNET = 0x4000_0000
PR_SET_DUMPABLE = 4
IN_ATTRIB = 0x0000_0004
IN_DELETE_SELF = 0x0000_0400
IN_MOVE_SELF = 0x0000_0800

_libc = ctypes.CDLL(None, use_errno=True)


def enter_network_namespace(descriptor: int) -> None:
    """Move the calling thread, and no other, into the network namespace of a descriptor."""
    _checked("enter a network namespace", _libc.setns(descriptor, CLONE_NEWNET))


def forbid_core_dumps() -> None:
    """Keep this process's memory, and the keys in it, out of core files and other debuggers."""
    _checked("forbid core dumps", _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))


def watch_file(path: str) -> int:
    """Return a descriptor that becomes readable when the file is removed, moved or chmodded.

    The caller reads it to its end after each wake-up, and closes it.
    """
    descriptor = _checked("watch a file", _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
    events = IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF
    try:
        added = _libc.inotify_add_watch(descriptor, os.fsencode(path), events)
        _checked(f"watch {path}", added)
    except SystemFault:
        os.close(descriptor)
        raise
    return descriptor


def _checked(operation: str, result: int) -> int:
    if result < 0:
        raise SystemFault(operation, ctypes.get_errno())
    return result
