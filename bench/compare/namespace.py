"""A network namespace that exists as long as one process of ours holds it.

It has no name under /run/netns, so not even a killed harness leaves one behind.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from bench.compare.processes import Child, CommandFailed, run

HOLD_TIMEOUT = 5.0


class Namespace:
    """An own network namespace; commands run in it by the id of the process that holds it."""

    def __init__(self) -> None:
        self._holder = Child(["unshare", "--net", "--", "sleep", "infinity"])
        self.pid = self._holder.pid
        try:
            self._wait_until_held()
        except BaseException:
            self._holder.end()
            raise

    def run(self, *command: str, text: str = "") -> str:
        """The output of a short command run inside. Raises CommandFailed."""
        return run(self._inside(*command), text)

    def start(self, *command: str, environment: Mapping[str, str] | None = None) -> Child:
        """A process started inside; the caller ends it."""
        return Child(self._inside(*command), environment)

    def close(self) -> None:
        """The holder is gone, and with the last process inside so is the namespace."""
        self._holder.end()

    def _inside(self, *command: str) -> list[str]:
        return ["nsenter", f"--target={self.pid}", "--net", "--", *command]

    def _wait_until_held(self) -> None:
        ours = Path("/proc/self/ns/net").readlink()
        give_up_at = time.monotonic() + HOLD_TIMEOUT
        while Path(f"/proc/{self.pid}/ns/net").readlink() == ours:
            if self._holder.has_exited() or time.monotonic() > give_up_at:
                raise CommandFailed(f"no network namespace: {self._holder.output().strip()}")
            time.sleep(0.005)
