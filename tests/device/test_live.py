"""A device put together for real, on a real TUN device in a namespace: it lives, and it ends."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from kubespan.device import live
from tests.netns.namespace import Namespace
from tests.peers import REPOSITORY, need

PROGRAM = """
import asyncio, logging, os, subprocess
from kubespan import fastpath
from kubespan.device.live import LiveDevice
from kubespan.linux.tun import create_tun

async def main():
    heard = []
    tun = create_tun("live0")
    live = LiveDevice(tun, fastpath.create_path(), logging.getLogger("test"), heard.append)
    live.start()
    await live.device.has_seen_link.wait()
    assert not live.device.interface.is_up
    subprocess.run(("ip", "link", "set", "live0", "up"), check=True)
    while not live.device.interface.is_up:
        await asyncio.sleep(0.01)
    live.close()
    os.close(tun.descriptor)

asyncio.run(main())
print("lived")
"""


@pytest.mark.netns
def test_it_follows_its_link_and_ends() -> None:
    need("ip")
    namespace = Namespace("live")
    try:
        command = ("ip", "netns", "exec", namespace.name, sys.executable, "-c", PROGRAM)
        done = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout) == (0, "lived\n"), done.stderr
    finally:
        namespace.close()


def test_without_the_variable_there_is_no_key_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBESPAN_KEYLOG", raising=False)
    assert live._key_log(logging.getLogger("kubespan.test")) is None
