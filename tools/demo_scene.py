"""What the second act is played with: a hub with a discovery service, and the nodes of a mesh.

    192.0.2.0/24 ───── hub ───── 198.51.100.0/24 ───── a router with NAT ───── 10.0.0.0/24

What is told of a node is what it says itself: its commands' output as it is, and its socket.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from kubespan.api.client import Client
from kubespan.api.refusal import Refused
from tools.demo_stage import FailedError, inside, run

KUBESPAN = (sys.executable, "-m", "kubespan.cli.main")
HUB, SERVICE, PORT = "hub", "192.0.2.254", 3000
URL = f"http://{SERVICE}:{PORT}"
PATIENCE = 60.0
POLL_INTERVAL = 0.02


@dataclass
class Program:
    """One running program on one host."""

    host: str
    words: tuple[str, ...]
    log: Path
    variables: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; what it says goes to its log."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                inside(self.host, *self.words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.variables},
            )

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def leave(self) -> None:
        """Ask it to end, and see it end well."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.wait()

    def wait(self) -> None:
        """See it end well."""
        assert self.process is not None
        if code := self.process.wait(PATIENCE):
            raise FailedError(f"`{' '.join(self.words[2:])}` on {self.host} ended with {code}")

    def kill(self) -> None:
        """End it whatever it is doing."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@dataclass
class Node:
    """A host of the mesh."""

    name: str
    address: str
    """Of its card."""

    where: str
    """For people."""

    directory: Path
    mesh_address: str = ""
    program: Program = field(init=False)

    def __post_init__(self) -> None:
        folder = self.directory / self.name
        words = ("up", "-c", str(folder / "machine.yaml"), "--state", str(folder / "state"))
        variables = {"KUBESPAN_SOCKET": str(folder / "node.sock")}
        log = self.directory / f"{self.name}.log"
        self.program = Program(self.name, (*KUBESPAN, *words), log, variables)
        self._client = Client(variables["KUBESPAN_SOCKET"])

    def configure(self, cluster: str) -> None:
        """Give it its own copy of the cluster's configuration, with its name."""
        folder = self.directory / self.name
        folder.mkdir()
        file = folder / "machine.yaml"
        file.touch(mode=0o600)
        file.write_text(f"{cluster}hostname: {self.name}\n")

    def status(self) -> dict[str, Any]:
        """Return what it says of itself; nothing while it is not there."""
        if not self.program.is_running:
            raise FailedError(f"`kubespan up` on {self.name} has ended")
        try:
            report: dict[str, Any] = self._client.status()
        except Refused:
            return {}
        self.mesh_address = report["self"]["address"]
        return report

    def run(self, *words: str) -> str:
        """Run a command of kubespan here and return what it prints."""
        asked = ("env", *(f"{name}={value}" for name, value in self.program.variables.items()))
        return run(*inside(self.name, *asked, *KUBESPAN, *words))


class Sighting(NamedTuple):
    """One node has seen how it stands with another."""

    viewer: str
    name: str
    state: str
    endpoint: str
    at: float


class Scene:
    """The service and the nodes. Ends them all with itself."""

    def __init__(self, directory: Path) -> None:
        words = ("discovery", "serve", "--listen", f"{SERVICE}:{PORT}", "--insecure")
        self.service = Program(HUB, (*KUBESPAN, *words), directory / "service.log")
        self.cluster = directory / "cluster.yaml"
        self.nodes = [
            Node("north", "192.0.2.1", "at 192.0.2.1", directory),
            Node("east", "192.0.2.2", "at 192.0.2.2", directory),
            Node("south", "198.51.100.1", "at 198.51.100.1", directory),
            Node("home", "10.0.0.2", "at 10.0.0.2, behind a NAT at 198.51.100.2", directory),
        ]
        self.servers: list[Program] = []
        """Of the transfers."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for program in (self.service, *self.servers, *(node.program for node in self.nodes)):
            program.kill()

    def start_service(self) -> float:
        """Start it; return the seconds until it listened."""
        began = time.monotonic()
        self.service.start()
        until("the service listens", lambda: self.service.is_running and listens(HUB, PORT))
        return time.monotonic() - began

    def sightings(self, nodes: Iterable[Node]) -> Iterator[Sighting]:
        """Iterate over what changes in what nodes see, as long as the story asks for more."""
        seen: dict[tuple[str, str], tuple[str, str]] = {}
        quiet_since = time.monotonic()
        while time.monotonic() < quiet_since + PATIENCE:
            for node in nodes:
                for key, value in _views(node):
                    if seen.get(key) != value:
                        seen[key] = value
                        quiet_since = time.monotonic()
                        yield Sighting(*key, *value, quiet_since)
            time.sleep(POLL_INTERVAL)
        raise FailedError("nobody sees anything any more")


def until(what: str, holds: Callable[[], object]) -> None:
    """Return once something holds, which may take a while."""
    give_up_at = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > give_up_at:
            raise FailedError(f"{what}: not within {PATIENCE:g} s")
        time.sleep(POLL_INTERVAL)


def listens(host: str, port: int) -> bool:
    """Whether somebody listens for TCP on a host."""
    return bool(run(*inside(host, "ss", "-Hltn", f"sport = :{port}")))


def _views(node: Node) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    for peer in node.status().get("peers", ()):
        yield (node.name, peer["label"]), (peer["state"], peer["endpoint"] or "")
