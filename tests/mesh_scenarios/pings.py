"""A ping that runs on and on, and when it was answered."""

from __future__ import annotations

import re
import threading
import time
from types import TracebackType
from typing import Self

from tests.mesh_scenarios.mesh_lab import Node
from tests.netns.lab import eventually

INTERVAL = 0.1


class Pings:
    """Echo requests from one node to an address, ten a second, between entering and leaving."""

    def __init__(self, node: Node, address: str) -> None:
        words = ("ping", "-n", "-O", "-i", str(INTERVAL), address)
        self._what = f"{node.name} pings {address}"
        self._process = node.namespace.start(*words)
        self._answered_at: list[float] = []
        self._numbers: list[int] = []
        self._thread = threading.Thread(target=self._read, name="pings")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._thread.join()
        self._process.communicate()

    def answered(self, after: float = 0.0, timeout: float = 60.0) -> None:
        """Wait until a request that was answered after this moment: monotonic seconds."""
        eventually(self._what, lambda: max(self._answered_at, default=-1.0) > after, timeout)

    @property
    def lost(self) -> list[int]:
        """The numbers of those that were not answered, before the last that was."""
        numbers = set(self._numbers)
        return [n for n in range(1, max(numbers, default=0)) if n not in numbers]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if found := re.search(r"bytes from .*icmp_seq=(\d+)", line):
                self._numbers.append(int(found[1]))
                self._answered_at.append(time.monotonic())
