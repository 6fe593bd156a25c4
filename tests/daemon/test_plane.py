"""The interface and its socket: made, found taken, made anew, gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.netns.namespace import Namespace
from tests.peers import REPOSITORY, need

pytestmark = pytest.mark.netns

PROGRAM = """
import asyncio, logging, subprocess, sys
from pathlib import Path
from kubespan.daemon.plane import DataPlane
from kubespan.device.live import LiveDevice
from kubespan.model.errors import ConfigError, InternalError
from kubespan.model.keys import PresharedKey, PrivateKey
from kubespan.model.plan import InterfaceConfig, PeerConfig

async def main():
    gone = asyncio.Event()
    sockets = Path(sys.argv[1])
    plane, other = (DataPlane(logging.getLogger("t"), print, gone.set, sockets) for _ in "ab")
    assert (plane.readings(), plane.counters()) == (None, {})
    plane.hail()
    plane.configure(InterfaceConfig(PrivateKey(bytes([1]) * 32), PresharedKey()))
    await plane.open()
    assert plane.is_there and (sockets / "kubespan.sock").is_socket()
    try:
        await other.open()
    except ConfigError as error:
        print(error)
    await other.close()
    peer = PeerConfig(PrivateKey(bytes([2]) * 32).public_key, None)
    plane.configure(InterfaceConfig(PrivateKey(bytes([1]) * 32), PresharedKey(), (peer,)))
    assert len(plane.readings()) == 1 and plane.counters()["implementation"]
    subprocess.run(("ip", "link", "delete", "kubespan"), check=True)
    await asyncio.wait_for(gone.wait(), 30)
    await plane.close()
    await plane.open()
    await plane.close()
    assert not plane.is_there and not (sockets / "kubespan.sock").exists()
    await plane.open()
    LiveDevice.close = broken
    try:
        await plane.close()
    except InternalError as error:
        print(error)
    links = subprocess.run(("ip", "link"), capture_output=True, text=True, check=True).stdout
    assert not plane.is_there and "kubespan" not in links

def broken(live, close=LiveDevice.close):
    close(live)
    raise InternalError("a thread does not end")

asyncio.run(main())
"""


def test_one_interface_at_a_time(tmp_path: Path) -> None:
    need("ip")
    namespace = Namespace("plane")
    try:
        command = (sys.executable, "-c", PROGRAM, str(tmp_path))
        done = subprocess.run(
            ("ip", "netns", "exec", namespace.name, *command),
            cwd=REPOSITORY,
            env=os.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        namespace.close()
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "create kubespan: Device or resource busy; another program has it; `kubespan down` ends a"
        " node that runs here\na thread does not end\n"
    )
