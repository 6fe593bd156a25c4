"""The unix socket under which an interface or a node is found: made, taken over, cleared away.

Runs before there is an event loop, and accepts nothing. A successor may bind the same path while
we are leaving, so a file is removed only if it is still ours. wireguard-go ipc/uapi_linux.go for
what tools rely on: the folder, the name and the modes.
"""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kubespan.model.errors import ConfigError, SystemFault

DIRECTORY = Path("/var/run/wireguard")
SOCKET_UMASK = 0o077
SOCKET_MODE = 0o777 & ~SOCKET_UMASK
KEEP_GROUP = -1
"""The group of whoever makes the file."""

DIRECTORY_MODE = 0o755
LEAVING_TIMEOUT = 1.0
"""Seconds that a predecessor, whose interface is gone or it would be in our way, has to leave."""

LOOK_AGAIN_AFTER = 0.01


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket and the file that leads to it."""

    socket: socket.socket
    path: Path
    identity: tuple[int, int] | None
    """Device and inode of the file, None if there was none."""

    @property
    def is_reachable(self) -> bool:
        """Whether the file is still there, and still ours."""
        # Only an open socket keeps its inode's number from being given to a successor's file.
        is_open = self.socket.fileno() >= 0
        return is_open and self.identity is not None and _identity(self.path) == self.identity

    def close(self) -> None:
        """Remove the file if it is ours, and stop listening."""
        # In this order a successor never finds a file that nobody listens behind.
        if self.is_reachable:
            with suppress(OSError):
                self.path.unlink()
        self.socket.close()


def listen(interface: str, directory: Path = DIRECTORY) -> Listener:
    """Bind the socket of an interface; a file that nobody listens behind is replaced.

    Raises SystemFault, with EADDRINUSE if another program listens there and does not leave.
    """
    return _listen(directory, directory / f"{interface}.sock", SOCKET_MODE, KEEP_GROUP)


def listen_at(path: Path, mode: int, group: str = "") -> Listener:
    """Bind a socket of this mode, and of a group if one is named; otherwise as `listen`.

    Raises ConfigError if there is no such group.
    """
    return _listen(path.parent, path, mode, _group(group) if group else KEEP_GROUP)


def _listen(directory: Path, path: Path, mode: int, group: int) -> Listener:
    try:
        _make_directory(directory)
        one = _bind(path)
        try:
            # Nobody can connect before there is somebody to listen, so it is never open too wide.
            if group != KEEP_GROUP:  # systemd may have forbidden the call itself
                os.chown(path, -1, group)
            path.chmod(mode)
            one.listen()
        except OSError:
            path.unlink(missing_ok=True)
            one.close()
            raise
    except OSError as error:
        raise SystemFault(f"listen on {path}", error.errno or 0) from error
    return Listener(one, path, _identity(path))


def adopt(descriptor: int) -> Listener:
    """Take over a listening socket that somebody else bound. Raises SystemFault."""
    try:
        one = socket.socket(fileno=descriptor)
        if one.family != socket.AF_UNIX or not one.getsockopt(
            socket.SOL_SOCKET, socket.SO_ACCEPTCONN
        ):
            one.close()
            raise SystemFault("take over a listening unix socket", errno.ENOTSOCK)
        one.set_inheritable(False)
        path = Path(os.fsdecode(one.getsockname()))
    except OSError as error:
        raise SystemFault("take over a listening socket", error.errno or 0) from error
    return Listener(one, path, _identity(path))


def _group(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(f"there is no group {name!r} on this host; name one that is") from None


def _make_directory(directory: Path) -> None:
    if not directory.is_dir():
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(DIRECTORY_MODE)


def _bind(path: Path) -> socket.socket:
    deadline = time.monotonic() + LEAVING_TIMEOUT
    while True:
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        umask = os.umask(SOCKET_UMASK)
        try:
            one.bind(str(path))
        except OSError as error:
            one.close()
            if error.errno != errno.EADDRINUSE:
                raise
            _clear(path, may_wait=time.monotonic() < deadline)
        else:
            return one
        finally:
            os.umask(umask)


def _clear(path: Path, *, may_wait: bool) -> None:
    """Remove a socket that nobody listens behind; wait a little for one that somebody does."""
    # To connect to a file of another kind is refused as if nobody listened there.
    if path.exists() and not path.is_socket():
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        result = probe.connect_ex(str(path))
    if result == errno.ECONNREFUSED:
        path.unlink(missing_ok=True)
    elif result != errno.ENOENT:
        if not may_wait:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        time.sleep(LOOK_AGAIN_AFTER)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISSOCK(status.st_mode) else None
