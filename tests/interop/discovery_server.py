"""Our discovery server as a process of its own, the way an operator runs it."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.interop.discovery_go import Place
from tests.peers import REPOSITORY

START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0

# Below the ports that the kernel gives to those who do not ask for one: a client that tries a port
# of those again and again while nobody listens would one day be connected to itself.
PORTS = range(20000, 30000)


class DiscoveryServer:
    """One server, which may be killed and started again at the same port."""

    def __init__(self, log: Path, *options: str, insecure: bool = True) -> None:
        self._log = log
        self._options = (*options, "--insecure") if insecure else options
        self._process: Process | None = None
        self.port = free_port()

    @property
    def endpoint(self) -> str:
        """Where it is, as gRPC writes it."""
        return f"127.0.0.1:{self.port}"

    def place(self, source: str = "") -> Place:
        """Return it as a place to speak to, from one of the host's own addresses."""
        return Place(self.endpoint, source)

    @property
    def said(self) -> str:
        """Everything that it has written."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end(signal.SIGKILL)

    async def start(self) -> None:
        """Return once it listens."""
        words = ("-m", "kubespan.cli.main", "discovery", "serve", "--listen", self.endpoint)
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *words,
                *self._options,
                cwd=REPOSITORY,
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(START_TIMEOUT):
            while not await self._listens():
                assert self._process.returncode is None, f"it did not start: {self.said}"
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """End it as the out-of-memory killer would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """End it as an operator would; return its exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True


def free_port() -> int:
    """Return a port where nobody listens, and that nobody gets by chance."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no port of {PORTS} is free")
