"""What the second act is played with: the service, hosts that are its members, and what they see.

What is told of a host is what its own `kubespan discovery watch` says, as any program reads it.
"""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tools.demo_stage import FailedError, inside, run

KUBESPAN = (sys.executable, "-m", "kubespan.cli.main")
HUB, SERVICE, PORT = "hub", "192.0.2.254", 3000
URL = f"http://{SERVICE}:{PORT}"
PATIENCE = 60.0
POLL_INTERVAL = 0.01


class Sighting(NamedTuple):
    """One host has seen something happen to another."""

    viewer: str
    event: str
    """`created`, `updated` or `destroyed`; `ended` where it looks on no more."""

    spec: dict[str, Any]
    at: float

    @property
    def hostname(self) -> str:
        """Who was seen."""
        return str(self.spec["hostname"])


@dataclass
class Program:
    """One running program on one host."""

    host: str
    words: tuple[str, ...]
    log: Path
    process: subprocess.Popen[str] | None = None

    def start(self) -> subprocess.Popen[str]:
        """Start it; what it complains about goes to its log."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                inside(self.host, *self.words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self.process

    def leave(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, and see it end well."""
        assert self.process is not None
        self.process.send_signal(number)
        if (code := self.process.wait(PATIENCE)) not in {0, -signal.SIGKILL}:
            raise FailedError(f"`{' '.join(self.words[2:])}` on {self.host} ended with {code}")

    def kill(self) -> None:
        """End it whatever it is doing."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@dataclass
class Member:
    """A host that announces itself, and what it sees."""

    name: str
    address: str
    program: Program
    knows: set[str] = field(default_factory=set)
    has_left: bool = False


class Scene:
    """The service, its members, and one queue of what they see. Ends them all with itself."""

    def __init__(self, directory: Path, names: Iterable[str]) -> None:
        self.state = directory / "service"
        service = ("discovery", "serve", "--listen", f"{SERVICE}:{PORT}", "--insecure")
        self.service = self._program(
            directory, HUB, (*service, "--state", str(self.state)), "service"
        )
        self.cluster = directory / "cluster.yaml"
        self.members = [
            Member(name, f"192.0.2.{10 + number}", self._watch(directory, name))
            for number, name in enumerate(names, 1)
        ]
        self.specs: dict[str, dict[str, Any]] = {}
        """What each has told of itself, by its name."""

        self._sightings: queue.SimpleQueue[Sighting] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for program in (self.service, *(member.program for member in self.members)):
            program.kill()

    def start_service(self) -> float:
        """Start it; return the seconds until it listened."""
        began = time.monotonic()
        process = self.service.start()
        while not run(*inside(HUB, "ss", "-Hltn", f"sport = :{PORT}")):
            if process.poll() is not None or time.monotonic() - began > PATIENCE:
                raise FailedError("`kubespan discovery serve` did not start")
            time.sleep(POLL_INTERVAL)
        return time.monotonic() - began

    def start(self, member: Member) -> None:
        """Start a member, and hear what it sees from now on."""
        member.knows.clear()
        process = member.program.start()
        threading.Thread(target=self._hear, args=(member.name, process), daemon=True).start()

    def sightings(self) -> Iterator[Sighting]:
        """Iterate over what any member sees, as long as the story asks for more."""
        by_name = {member.name: member for member in self.members}
        while True:
            try:
                seen = self._sightings.get(timeout=PATIENCE)
            except queue.Empty:
                raise FailedError("nobody sees anything any more") from None
            if seen.event == "ended":
                self._end(by_name[seen.viewer])
                continue
            self.specs[seen.hostname] = seen.spec
            knows = by_name[seen.viewer].knows
            (knows.discard if seen.event == "destroyed" else knows.add)(seen.hostname)
            yield seen

    def _end(self, member: Member) -> None:
        if not member.has_left:
            raise FailedError(f"`kubespan discovery watch` on {member.name} has ended")

    def newcomer(self) -> set[str]:
        """Return whom somebody sees who has just come and only looks on."""
        words = (*KUBESPAN, "discovery", "watch", "-c", str(self.cluster), "--once", "-o", "json")
        lines = run(*inside(HUB, *words)).splitlines()
        return {str(json.loads(line)["spec"]["hostname"]) for line in lines}

    def _hear(self, viewer: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            self._sightings.put(Sighting(viewer, told["event"], told["spec"], time.monotonic()))
        self._sightings.put(Sighting(viewer, "ended", {}, time.monotonic()))

    def _watch(self, directory: Path, name: str) -> Program:
        file = str(directory / f"{name}.yaml")
        state = str(directory / name)
        words = ("discovery", "watch", "--announce", "-c", file, "--state", state, "-o", "json")
        return self._program(directory, name, words, name)

    @staticmethod
    def _program(directory: Path, host: str, words: tuple[str, ...], name: str) -> Program:
        return Program(host, (*KUBESPAN, *words), directory / f"{name}.log")
