"""A small internet in namespaces, and real nodes of a mesh in it: every one is `kubespan up`.

    north 192.0.2.0/24 ──┐
    south 198.51.100.0/24 ┼─ hub, which routes between them and serves discovery at 192.0.2.254
    west 203.0.113.0/24 ──┘
                             a home is a router at one of them, with 10.N.0.0/24 and NAT behind it

Nodes are asked through their sockets, which are files and so can be reached from everywhere.
"""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from kubespan.api.client import Client
from kubespan.api.refusal import Refused
from tests.netns.lab import Laboratory, eventually
from tests.netns.namespace import Namespace, run
from tests.peers import REPOSITORY, need

KUBESPAN: Final = (sys.executable, "-m", "kubespan.cli.main")
SUBNETS: Final = {"north": "192.0.2", "south": "198.51.100", "west": "203.0.113"}
GATEWAY: Final = 254
SERVICE: Final = "192.0.2.254:3000"
PORT: Final = 51820
START_TIMEOUT: Final = 30.0
LEAVE_TIMEOUT: Final = 15.0

PREDICTABLE: Final = ""
"""The router keeps the port where it can, as most do."""

MAPPED: Final = "to :41820"
"""Another port, but the same one towards everybody."""

SYMMETRIC: Final = "random,fully-random"
"""Another port towards each."""


@dataclass
class Wants:
    """What a node's configuration says besides who the cluster is."""

    kubespan: dict[str, Any] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)
    extra_endpoints: tuple[str, ...] = ()
    has_discovery: bool = True


class Program:
    """One `kubespan` process in a namespace, and what it has said."""

    def __init__(self, namespace: Namespace, log: Path, variables: Mapping[str, str]) -> None:
        self.namespace = namespace
        self._log = log
        self.variables = {**variables}
        """Of its environment, besides ours."""

        self.process: subprocess.Popen[bytes] | None = None

    @property
    def said(self) -> str:
        """Everything that it has written."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start it; it replaces `ip`, so that its id is the process's own."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                ("ip", "netns", "exec", self.namespace.name, *KUBESPAN, *words),
                cwd=REPOSITORY,
                env={**os.environ, **self.variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.process

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another one beside it to its end."""
        return subprocess.run(
            ("ip", "netns", "exec", self.namespace.name, *KUBESPAN, *words),
            cwd=REPOSITORY,
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT,
            check=False,
        )

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.process is not None and self.process.poll() is None

    def end(self, number: signal.Signals) -> int:
        """Send it a signal, and return its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(LEAVE_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"it had to be killed: {self.said}") from None

    def close(self) -> None:
        """End it whatever it is doing."""
        if self.is_running:
            self.end(signal.SIGKILL)


class Node(Program):
    """One member: a host, its state directory, its configuration and its process."""

    def __init__(self, mesh: Mesh, name: str, namespace: Namespace, address: str) -> None:
        self.name = name
        self.address4 = address
        """Of its first link."""

        self.wants = Wants()
        self._mesh = mesh
        folder = mesh.folder / name
        folder.mkdir()
        self.folder, self.socket = folder, folder / "node.sock"
        self.client = Client(str(self.socket))
        super().__init__(namespace, folder / "log", {"KUBESPAN_SOCKET": str(self.socket)})

    # Its life.

    def up(self) -> None:
        """Start `kubespan up`; it may still be busy when this returns."""
        self.start("up", "-c", str(self.configure()), "--state", str(self.folder / "state"))

    def configure(self) -> Path:
        """Write its configuration."""
        file = self.folder / "machine.yaml"
        file.touch(mode=0o600)
        file.write_text(self.config())
        return file

    def config(self) -> str:
        """Return its configuration, as an operator writes it."""
        wants = self.wants
        extra: list[tuple[str, dict[str, Any]]] = []
        if wants.has_discovery:
            extra.append(("DiscoveryServiceConfig", {"name": "hub", "endpoint": self._mesh.url}))
        if wants.extra_endpoints:
            announced = {"extraAnnouncedEndpoints": [*wants.extra_endpoints]}
            extra.append(("KubeSpanEndpointsConfig", announced))
        documents = [
            ("DiscoveryIdentityConfig", self._mesh.identity),
            *extra,
            ("KubeSpanConfig", {"enabled": True, **wants.kubespan}),
            ("UserspaceNodeConfig", {"hostname": self.name, **wants.own}),
        ]
        versions = ({"apiVersion": "v1alpha1", "kind": kind, **keys} for kind, keys in documents)
        return str(yaml.safe_dump_all(versions, sort_keys=False))

    def apply(self) -> Any:
        """Have the running node take over what it wants now."""
        return self.client.apply(self.configure().read_bytes())

    def leave(self) -> None:
        """End it as an operator would, and see it end well."""
        assert self.end(signal.SIGTERM) == 0, self.said

    def kill(self) -> None:
        """End it as the out-of-memory killer would."""
        self.end(signal.SIGKILL)

    # How it stands.

    def status(self) -> dict[str, Any]:
        """Return what it says of itself; nothing while it is not there."""
        with suppress(Refused):
            report: dict[str, Any] = self.client.status()
            return report
        return {}

    def is_steered(self) -> bool:
        """Whether its mesh is."""
        return bool(self.status().get("mesh", {}).get("is_started"))

    def peers(self) -> dict[str, dict[str, Any]]:
        """Return how it stands with every peer, by name."""
        return {peer["label"]: peer for peer in self.status().get("peers", ())}

    def ups(self) -> set[str]:
        """Return the names of the peers that are up."""
        return {name for name, peer in self.peers().items() if peer["state"] == "up"}

    def problems(self) -> dict[str, list[dict[str, Any]]]:
        """Return its problems by code."""
        found: dict[str, list[dict[str, Any]]] = {}
        for problem in self.status().get("problems", ()):
            found.setdefault(problem["code"], []).append(problem)
        return found

    @property
    def address6(self) -> str:
        """Its address in the mesh."""
        return str(self.status()["self"]["address"])

    @property
    def public_key(self) -> str:
        """Its WireGuard key."""
        return str(self.status()["self"]["public_key"])

    def reaches(self, *addresses: str) -> bool:
        """Whether every one of them answers a ping within a second."""
        words = ("ping", "-n", "-q", "-c", "1", "-W", "1")
        return all(self._ends_well(*words, address) for address in addresses)

    def _ends_well(self, *words: str) -> bool:
        inside = ("ip", "netns", "exec", self.namespace.name, *words)
        done = subprocess.run(inside, capture_output=True, timeout=START_TIMEOUT, check=False)
        return done.returncode == 0

    def handshakes(self) -> dict[str, str]:
        """Return the time of the last handshake with every peer, as `wg` would: to the second."""
        return {name: str(peer["handshake"]) for name, peer in self.peers().items()}

    def leftovers(self) -> dict[str, str]:
        """Return what there is of the mesh on this host, by what it is; empty values left out."""
        namespace = self.namespace
        words = {
            "link": ("ip", "link", "show", "kubespan"),
            "rules": ("ip", "rule", "show", "priority", "32500"),
            "rules6": ("ip", "-6", "rule", "show", "priority", "32500"),
            "routes": ("ip", "route", "show", "table", "180"),
            "routes6": ("ip", "-6", "route", "show", "table", "180"),
            "main6": ("ip", "-6", "route", "show", "metric", "27507"),
            "table": ("nft", "list", "table", "inet", "kubespan"),
        }
        inside = ("ip", "netns", "exec", namespace.name)
        found = {what: run(*inside, *asked, check=False) for what, asked in words.items()}
        return {what: text for what, text in found.items() if text.strip()}


class Mesh:
    """The internet, one cluster in it, and its discovery service; all gone with the laboratory."""

    def __init__(self, lab: Laboratory) -> None:
        need("ip", "nft", "ping")
        self.lab = lab
        self.folder = lab.folder
        self.nodes: dict[str, Node] = {}
        self.hub = lab.namespace("hub")
        self.hub.sysctl("net/ipv4/ip_forward", 1)
        for subnet, prefix in SUBNETS.items():
            self.hub.ip("link", "add", subnet, "type", "bridge", "forward_delay", "0")
            self.hub.address(subnet, f"{prefix}.{GATEWAY}/24")
            self.hub.ip("link", "set", subnet, "up")
        secrets = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
        self.identity = dict(zip(("clusterID", "clusterSecret"), secrets, strict=True))
        self.url = f"http://{SERVICE}"
        self.service = Program(self.hub, self.folder / "service.log", {})
        self.ports: list[str] = []
        """The hub's ends of all cables."""

        self._used = dict.fromkeys(SUBNETS, 0)
        self._homes = 0

    # Hosts.

    def attach(self, namespace: Namespace, subnet: str, link: str = "eth0", metric: int = 0) -> str:
        """Put a host at a subnet, with a default route; return its address."""
        self._used[subnet] += 1
        address = f"{SUBNETS[subnet]}.{self._used[subnet]}"
        self._plug(namespace, subnet, link)
        namespace.address(link, f"{address}/24")
        self.route(namespace, subnet, link, metric)
        return address

    def _plug(self, namespace: Namespace, subnet: str, link: str) -> None:
        port = f"{subnet[0]}{self._used[subnet]}"
        self.lab.cable(namespace, link, self.hub, port)
        self.hub.ip("link", "set", port, "master", subnet)
        self.ports.append(port)

    @staticmethod
    def route(namespace: Namespace, subnet: str, link: str = "eth0", metric: int = 0) -> None:
        """Lead everything to the hub."""
        way = ("via", f"{SUBNETS[subnet]}.{GATEWAY}", "dev", link, "metric", str(metric))
        namespace.ip("route", "replace", "default", *way)

    def port(self, node: Node) -> str:
        """Return the hub's end of the cable of a host at a subnet."""
        subnet, number = next(
            (name, node.address4.rpartition(".")[2])
            for name, prefix in SUBNETS.items()
            if node.address4.startswith(f"{prefix}.")
        )
        return f"{subnet[0]}{number}"

    def node(self, name: str, subnet: str = "north") -> Node:
        """Add a host at a subnet; it is not up yet."""
        namespace = self.lab.namespace(name)
        return self._add(name, namespace, self.attach(namespace, subnet))

    def home(self, name: str, subnet: str = "north", mapping: str = PREDICTABLE) -> Node:
        """Add a host behind a router of its own, with a NAT that maps so; it is not up yet."""
        self._homes += 1
        inside = f"10.{self._homes}.0"
        router, namespace = self.lab.namespaces(f"r{self._homes}", name)
        self.attach(router, subnet, "wan")
        self.lab.cable(router, "lan", namespace, "eth0")
        router.address("lan", f"{inside}.1/24")
        namespace.address("eth0", f"{inside}.2/24")
        namespace.ip("route", "add", "default", "via", f"{inside}.1")
        router.sysctl("net/ipv4/ip_forward", 1)
        router.nft(_nat(mapping))
        return self._add(name, namespace, f"{inside}.2")

    def _add(self, name: str, namespace: Namespace, address: str) -> Node:
        self.nodes[name] = node = Node(self, name, namespace, address)
        return node

    # Discovery.

    def serve_on(self, node: Node) -> None:
        """Have a member's own host serve discovery instead of the hub, for who is not up yet."""
        self.service.close()
        address = f"{node.address4}:{SERVICE.rpartition(':')[2]}"
        self.url = f"http://{address}"
        self.service = Program(node.namespace, self.folder / "other-service.log", {})
        self.serve(listen=address)

    def serve(self, *options: str, listen: str = SERVICE) -> None:
        """Start the discovery service, with an empty memory; it listens when this returns."""
        words = ("discovery", "serve", "--insecure", "--listen", listen, *options)
        process = self.service.start(*words)

        def listens() -> bool:
            assert process.poll() is None, self.service.said
            return bool(self.service.namespace.run("ss", "-Hltn", "sport = :3000"))

        eventually("the discovery service listens", listens, START_TIMEOUT)

    # Waiting.

    def up(self, *nodes: Node) -> None:
        """Start nodes at once, and wait until everybody is up for everybody."""
        for node in nodes:
            node.up()
        self.all_up()

    def all_up(self, timeout: float = START_TIMEOUT, nodes: Iterable[Node] = ()) -> float:
        """Wait until each of the nodes, or of all that run, is steered and up for each other."""
        chosen = [*nodes] or [node for node in self.nodes.values() if node.is_running]
        names = {node.name for node in chosen}

        def holds() -> bool:
            time.sleep(0.02)
            return all(n.is_steered() and n.ups() >= names - {n.name} for n in chosen)

        return self.until("all pairs are up", holds, timeout)

    def until(self, what: str, holds: Callable[[], bool], timeout: float = START_TIMEOUT) -> float:
        """Wait as `eventually` does; if in vain, say what everybody said."""
        try:
            return eventually(what, holds, timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said()}") from None

    def said(self) -> str:
        """Return what everybody has said."""
        programs = {"service": self.service, **self.nodes}
        return "\n".join(f"--- {name}\n{program.said}" for name, program in programs.items())

    def close(self) -> None:
        """End everybody."""
        for node in self.nodes.values():
            node.close()
        self.service.close()


def _nat(mapping: str) -> str:
    return f"""
        table ip nat {{
            chain postrouting {{
                type nat hook postrouting priority srcnat;
                oifname wan udp sport {PORT} masquerade {mapping}
                oifname wan masquerade
            }}
            chain input {{
                type filter hook input priority filter;
                iifname wan ct state new drop
            }}
        }}
    """
