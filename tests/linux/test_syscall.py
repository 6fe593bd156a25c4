"""The system calls: a thread alone changes namespace, core dumps end, a file's fate is heard."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kubespan.linux.syscall import enter_network_namespace, watch_file
from kubespan.model.errors import SystemFault
from tests.netns.namespace import Namespace
from tests.peers import REPOSITORY

OWN = Path("/proc/thread-self/ns/net")
DUMPABLE = """
import ctypes
from kubespan.linux.syscall import forbid_core_dumps
PR_GET_DUMPABLE = 3
before = ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)
forbid_core_dumps()
print(before, ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0))
"""


def became_readable(descriptor: int) -> bool:
    try:
        return bool(os.read(descriptor, 4096))
    except BlockingIOError:
        return False


@pytest.mark.netns
def test_only_the_calling_thread_enters(namespace: Namespace, elsewhere: Namespace) -> None:
    ours = OWN.stat()

    def visit() -> None:
        with Path("/run/netns", elsewhere.name).open() as file:
            enter_network_namespace(file.fileno())
            assert os.path.samestat(OWN.stat(), os.fstat(file.fileno()))

    namespace.inside(visit)
    assert os.path.samestat(OWN.stat(), ours)


def test_what_is_no_namespace_cannot_be_entered(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (tmp_path / "file").open() as file, pytest.raises(SystemFault) as fault:
        enter_network_namespace(file.fileno())
    assert fault.value.operation == "enter a network namespace"
    assert fault.value.errno == errno.EINVAL


def test_core_dumps_are_forbidden() -> None:
    done = subprocess.run(
        (sys.executable, "-c", DUMPABLE),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["1", "0"], done.stderr


@pytest.mark.parametrize("fate", ["removed", "moved", "chmodded"])
def test_a_watch_tells_of_a_files_fate(tmp_path: Path, fate: str) -> None:
    path = tmp_path / "file"
    path.touch()
    descriptor = watch_file(str(path))
    try:
        path.write_text("what is written into it is of no interest")
        assert not became_readable(descriptor)
        match fate:
            case "removed":
                path.unlink()
            case "moved":
                path.rename(tmp_path / "other")
            case _:
                path.chmod(0o600)
        assert became_readable(descriptor)
        while became_readable(descriptor):
            pass
    finally:
        os.close(descriptor)


def test_a_watch_is_neither_inherited_nor_waited_for(tmp_path: Path) -> None:
    descriptor = watch_file(str(tmp_path))
    try:
        assert not os.get_inheritable(descriptor)
        assert not os.get_blocking(descriptor)
    finally:
        os.close(descriptor)


def test_what_is_not_there_cannot_be_watched(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(SystemFault, match=str(tmp_path / "none")) as fault:
        watch_file(str(tmp_path / "none"))
    assert fault.value.errno == errno.ENOENT
    assert len(list(Path("/proc/self/fd").iterdir())) == before
