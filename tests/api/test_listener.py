"""The socket of an interface: where it is, who may open it, who is replaced, what is cleared."""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kubespan.api import listener
from kubespan.api.listener import adopt, listen, listen_at
from kubespan.model.errors import ConfigError, SystemFault


@pytest.fixture
def directory() -> Iterator[Path]:
    """Make a folder whose name is short, for a unix address holds 107 bytes."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "run" / "wireguard"


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "LEAVING_TIMEOUT", 0.0)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def can_connect(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def leave_stale(path: Path) -> tuple[int, int]:
    """Leave a socket that nobody listens behind; return what tells it from another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    return path.stat().st_ino, path.stat().st_ctime_ns


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_folder_is_for_all_and_the_socket_for_its_owner(directory: Path, umask: int) -> None:
    directory.parent.mkdir()
    before = os.umask(umask)
    try:
        one = listen("wg0", directory)
        after = os.umask(umask)
    finally:
        os.umask(before)
    assert one.path == directory / "wg0.sock"
    assert (mode(directory), mode(one.path)) == (0o755, 0o700)
    assert after == umask
    one.close()


def test_mode_and_group_can_be_chosen(directory: Path) -> None:
    path = directory / "node.sock"
    group = grp.getgrgid(os.getegid()).gr_name
    with closing(listen_at(path, 0o660, group)):
        assert (mode(path), path.stat().st_gid) == (0o660, os.getegid())
        assert can_connect(path)
    with closing(listen_at(path, 0o600)):
        assert mode(path) == 0o600


def test_group_that_is_not_there_is_the_operator_s_mistake(directory: Path) -> None:
    with pytest.raises(ConfigError, match="there is no group 'nobody-of-the-kind' on this host"):
        listen_at(directory / "node.sock", 0o660, "nobody-of-the-kind")
    assert not directory.exists()


def test_group_that_may_not_be_given_leaves_nothing(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "not your group")

    monkeypatch.setattr(os, "chown", refuse)
    with pytest.raises(SystemFault, match="Operation not permitted"):
        listen_at(directory / "node.sock", 0o660, "root")
    assert list(directory.iterdir()) == []


def test_without_a_group_nobody_is_asked_to_change_one(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no such call under our systemd unit")

    monkeypatch.setattr(os, "chown", refuse)
    listen_at(directory / "node.sock", 0o600).close()


def test_folder_that_is_there_keeps_its_mode(directory: Path) -> None:
    directory.mkdir(parents=True)
    directory.chmod(0o700)
    listen("wg0", directory).close()
    assert mode(directory) == 0o700


def test_listener_can_be_reached_until_it_closes(directory: Path) -> None:
    one = listen("wg0", directory)
    assert one.is_reachable
    assert can_connect(one.path)
    one.close()
    assert not one.path.exists()
    assert one.socket.fileno() == -1


def test_stale_socket_is_replaced(directory: Path) -> None:
    before = leave_stale(directory / "wg0.sock")
    one = listen("wg0", directory)
    assert (one.path.stat().st_ino, one.path.stat().st_ctime_ns) != before
    assert can_connect(one.path)
    one.close()


def test_file_that_is_no_socket_is_refused_and_left_alone(directory: Path) -> None:
    directory.mkdir(parents=True)
    file = directory / "wg0.sock"
    file.write_text("somebody's notes")
    with pytest.raises(SystemFault, match=r"wg0\.sock"):
        listen("wg0", directory)
    assert file.read_text() == "somebody's notes"


def test_socket_in_use_is_refused_and_left_alone(directory: Path) -> None:
    one = listen("wg0", directory)
    with pytest.raises(SystemFault, match=r"wg0\.sock") as caught:
        listen("wg0", directory)
    assert caught.value.errno == errno.EADDRINUSE
    assert one.is_reachable
    assert can_connect(one.path)
    one.close()


def test_predecessor_that_leaves_is_waited_for(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = listen("wg0", directory)
    waits: list[float] = []

    def leave(seconds: float) -> None:
        waits.append(seconds)
        former.close()

    monkeypatch.setattr(listener, "LEAVING_TIMEOUT", 3600.0)
    monkeypatch.setattr("time.sleep", leave)
    one = listen("wg0", directory)
    assert waits == [listener.LOOK_AGAIN_AFTER]
    assert one.is_reachable
    one.close()


def test_interfaces_do_not_meet(directory: Path) -> None:
    one, other = listen("wg0", directory), listen("wg1", directory)
    one.close()
    assert other.is_reachable
    other.close()


@pytest.mark.parametrize("name", ["x" * 200, "no/such/folder"])
def test_name_that_cannot_be_bound_is_a_fault(directory: Path, name: str) -> None:
    with pytest.raises(SystemFault):
        listen(name, directory)


def test_folder_that_cannot_be_made_is_a_fault(directory: Path) -> None:
    directory.parent.write_text("a file")
    with pytest.raises(SystemFault) as caught:
        listen("wg0", directory)
    assert caught.value.errno == errno.ENOTDIR


def test_file_of_a_successor_stays(directory: Path) -> None:
    one = listen("wg0", directory)
    one.path.rename(directory / "kept")  # so that its inode is not given to the next one
    successor = listen("wg0", directory)
    assert not one.is_reachable
    one.close()
    assert successor.is_reachable
    assert can_connect(successor.path)
    successor.close()


def test_file_that_somebody_removed_is_no_trouble(directory: Path) -> None:
    one = listen("wg0", directory)
    one.path.unlink()
    assert not one.is_reachable
    one.close()
    assert one.socket.fileno() == -1


# -------------------------------------------------------------------------------- taken over


def test_adopted_listener_is_the_same_file_and_not_inherited(directory: Path) -> None:
    one = listen("wg0", directory)
    descriptor = os.dup(one.socket.fileno())
    os.set_inheritable(descriptor, True)
    adopted = adopt(descriptor)
    assert (adopted.path, adopted.identity) == (one.path, one.identity)
    assert not os.get_inheritable(adopted.socket.fileno())
    adopted.close()
    assert not one.is_reachable
    one.close()


def test_descriptor_that_is_no_socket_is_refused(directory: Path) -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(SystemFault) as caught:
            adopt(reading)
        assert caught.value.errno == errno.ENOTSOCK
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
def test_socket_that_does_not_listen_is_refused_and_closed(family: socket.AddressFamily) -> None:
    descriptor = socket.socket(family, socket.SOCK_STREAM).detach()
    with pytest.raises(SystemFault) as caught:
        adopt(descriptor)
    assert caught.value.errno == errno.ENOTSOCK
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_closed_descriptor_is_a_fault() -> None:
    descriptor = os.dup(0)
    os.close(descriptor)
    with pytest.raises(SystemFault) as caught:
        adopt(descriptor)
    assert caught.value.errno == errno.EBADF


def test_closing_twice_spares_the_successor(directory: Path) -> None:
    # The file system may give the successor's file the number that ours had.
    former = listen("wg0", directory)
    former.close()
    successor = listen("wg0", directory)
    former.close()
    assert successor.is_reachable
    assert can_connect(successor.path)
    successor.close()
