"""A node by itself, in a namespace of its own: a real process, one static peer, no discovery."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kubespan.api.client import Client
from kubespan.api.refusal import Refused
from tests.netns.lab import eventually
from tests.netns.namespace import Namespace
from tests.peers import REPOSITORY

SECRET = "vlf2HU1NEZL3Ezi9Tk+RZBLJUbjnsHnTzs3wK9JNk6Q="
PEER = "NzW8oeIH5rJyY5lefD9WRoHWWRr/Q6DwsDjMX+xKjT4="
CONFIG = f"""\
apiVersion: v1alpha1
kind: DiscoveryIdentityConfig
clusterID: a-cluster
clusterSecret: {SECRET}
---
apiVersion: v1alpha1
kind: KubeSpanConfig
enabled: true
---
apiVersion: v1alpha1
kind: UserspaceNodeConfig
hostname: lonely
staticPeers:
  - name: gateway
    publicKey: {PEER}
    endpoints: ["192.0.2.9:51820"]
    allowedIPs: [198.51.100.0/24]
"""
PATIENCE = 30.0


class LoneNode:
    """The node, its namespace, its files. `close` it."""

    def __init__(self, folder: Path) -> None:
        self.namespace = Namespace("lone")
        self.folder = folder
        self.socket = folder / "run" / "kubespan.sock"
        self.file = folder / "node.yaml"
        self.log = folder / "log"
        self.file.write_text(CONFIG)
        self.process: subprocess.Popen[bytes] | None = None
        for words in (("lo", "up"), ("add", "name", "eth0", "type", "bridge"), ("eth0", "up")):
            self.namespace.ip("link", *(("set",) if words[0] != "add" else ()), *words)
        self.namespace.ip("address", "add", "192.0.2.1/24", "dev", "eth0")

    @property
    def client(self) -> Client:
        return Client(str(self.socket))

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "KUBESPAN_SOCKET": str(self.socket),
            "KUBESPAN_STATE_DIR": str(self.folder / "state"),
            "KUBESPAN_CONFIG": str(self.file),
        }

    def command(self, *words: str) -> tuple[str, ...]:
        program = (sys.executable, "-m", "kubespan.cli.main", *words)
        return ("ip", "netns", "exec", self.namespace.name, *program)

    def run(self, *words: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run a command of kubespan to its end."""
        return subprocess.run(
            self.command(*words),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self) -> None:
        """Start the node, and wait until the mesh is steered."""
        self.launch()
        eventually("the mesh is steered", self.is_started, PATIENCE)

    def launch(self) -> None:
        """Start the node."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("up"), env=self.environment, stdout=log, stderr=log
            )

    def answers(self) -> bool:
        """Whether it can be asked."""
        with suppress(Refused):
            return bool(self.client.version())
        return False

    def is_started(self) -> bool:
        assert self.process is None or self.process.poll() is None, self.log.read_text()
        try:
            return self.client.holds("startup")
        except Refused:
            return False

    def status(self) -> Any:
        return self.client.status()

    def leftovers(self) -> list[str]:
        """Return what of the mesh is in the kernel."""
        found = [
            self.namespace.ip("link", "show", "type", "tun"),
            self.namespace.ip("rule", "show", "priority", "32500"),
            self.namespace.ip("-6", "rule", "show", "priority", "32500"),
            self.namespace.run("nft", "list", "tables"),
        ]
        return [text for text in found if text.strip()]

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)
        self.namespace.close()
