"""The topology: two namespaces, one veth pair, and a tunnel with one peer at either end.

Fresh for every contender. Addresses live in namespaces of their own and meet nobody else's;
interface names carry our process id, because UAPI sockets are shared by the whole machine.
"""

from __future__ import annotations

import itertools
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from bench.compare import uapi
from bench.compare.implementations import Contender
from bench.compare.implementations import End as Program
from bench.compare.namespace import Namespace
from bench.compare.processes import Child, CommandFailed

WIREGUARD_PORT = 51820
# IPv6 and UDP headers, transport header and tag: what a tunnel needs of its link beyond its MTU.
OVERHEAD = 80
READY_TIMEOUT = 10

_NO_SEGMENTATION = ("tso", "off", "gso", "off", "tx-udp-segmentation", "off")
MODES: dict[str, tuple[str, ...]] = {
    "gso": (),
    "seggro": (*_NO_SEGMENTATION, "gro", "on"),
    "seg": (*_NO_SEGMENTATION, "gro", "off"),
}
_OUTER = {"ipv4": ("192.0.2.{}", 24), "ipv6": ("2001:db8:1::{}", 64)}
_INNER = {"ipv4": ("198.51.100.{}", 24), "ipv6": ("2001:db8:2::{}", 64)}
_serial = itertools.count()


@dataclass(frozen=True, slots=True)
class Link:
    """What lies under the load: link mode, address family inside and outside, tunnel MTU, peers.

    Of the peers that either end knows, one carries traffic; the others have keys and addresses.
    """

    mode: str
    family: str
    mtu: int
    peers: int = 1

    @property
    def name(self) -> str:
        """As in a heading of the report."""
        peers = f", {self.peers} peers" if self.peers > 1 else ""
        return f"{self.mode}, {self.family}, MTU {self.mtu}{peers}"


@dataclass(frozen=True, slots=True)
class Side:
    """One end: its namespace, its tunnel process (none on the bare link), its addresses."""

    namespace: Namespace
    tunnel: Child | None
    interface: str
    outer: str
    inner: str

    @property
    def address(self) -> str:
        """Where load is sent to: through the tunnel if there is one."""
        return self.inner if self.tunnel else self.outer


class Lab:
    """One contender's two ends, carrying packets; a context manager that leaves nothing behind."""

    def __init__(self, contender: Contender, link: Link) -> None:
        self.contender = contender
        self.link = link
        self._stack = ExitStack()
        try:
            self.a, self.b = self._build()
        except BaseException:
            self._stack.close()
            raise

    @property
    def tunnels(self) -> list[int]:
        """The ids of the tunnel processes."""
        return [side.tunnel.pid for side in (self.a, self.b) if side.tunnel]

    def counters(self) -> dict[str, dict[str, int]]:
        """The data planes' own counters by end, `a` and `b`; empty where there are none."""
        sides = {"a": self.a, "b": self.b}
        return {end: uapi.counters(side.interface) for end, side in sides.items() if side.tunnel}

    def remarks(self) -> str:
        """What the sending end's data plane says of itself, such as which cipher it picked."""
        if not self.a.tunnel:
            return ""
        said = uapi.remarks(self.a.interface)
        return ", ".join(f"{name} {value}" for name, value in said.items())

    def features(self) -> str:
        """What `ethtool -k` says about the sending end of the link, fixed features left out."""
        lines = self.a.namespace.run("ethtool", "-k", "veth").splitlines()
        return "\n".join(line for line in lines if "[fixed]" not in line)

    def complaint(self) -> str:
        """What the tunnel processes wrote, and whether one is gone."""
        said = []
        for side in (self.a, self.b):
            if side.tunnel:
                state = "exited" if side.tunnel.has_exited() else "running"
                said.append(f"{side.interface} {state}: {side.tunnel.output().strip()}")
        return "\n".join(said)

    def close(self) -> None:
        """Tunnels, sockets and namespaces are gone."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _build(self) -> tuple[Side, Side]:
        ends = [self._namespace(), self._namespace()]
        self._connect(ends)
        a, b = (self._side(ends[n], n + 1) for n in range(2))
        if self.contender.is_tunnel:
            self._configure(a, b)
        self._wait_until_reachable(a, b)
        return a, b

    def _namespace(self) -> Namespace:
        namespace = Namespace()
        self._stack.callback(namespace.close)
        return namespace

    def _connect(self, ends: list[Namespace]) -> None:
        pair = ("link", "add", "veth", "type", "veth", "peer", "name", "veth", "netns")
        ends[0].run("ip", *pair, str(ends[1].pid))
        address, bits = _OUTER[self.link.family]
        for number, namespace in enumerate(ends, start=1):
            if wanted := MODES[self.link.mode]:
                namespace.run("ethtool", "-K", "veth", *wanted)
            mtu = self.link.mtu + OVERHEAD
            _bring_up(namespace, "veth", f"{address.format(number)}/{bits}", mtu)

    def _side(self, namespace: Namespace, number: int) -> Side:
        program = self.contender.a if number == 1 else self.contender.b
        outer = _OUTER[self.link.family][0].format(number)
        inner, bits = _INNER[self.link.family]
        inner = inner.format(number)
        if program.command is None:
            return Side(namespace, None, "veth", outer, inner)
        interface = f"kb{os.getpid()}x{next(_serial)}"
        tunnel = self._start(namespace, program, interface)
        _bring_up(namespace, interface, f"{inner}/{bits}", self.link.mtu)
        return Side(namespace, tunnel, interface, outer, inner)

    def _start(self, namespace: Namespace, program: Program, interface: str) -> Child:
        assert program.command is not None
        command = (*program.command, "-f", interface)
        tunnel = namespace.start(*command, environment=program.environment)
        self._stack.callback(uapi.socket_path(interface).unlink, missing_ok=True)
        self._stack.callback(tunnel.end)
        give_up_at = time.monotonic() + READY_TIMEOUT
        while not uapi.is_listening(interface):
            if tunnel.has_exited() or time.monotonic() > give_up_at:
                raise CommandFailed(f"{program.name} did not start: {tunnel.output().strip()}")
            time.sleep(0.01)
        return tunnel

    def _configure(self, a: Side, b: Side) -> None:
        keys = {side.interface: uapi.StaticKeys.create() for side in (a, b)}
        for side, other in ((a, b), (b, a)):
            host = f"[{other.outer}]" if ":" in other.outer else other.outer
            uapi.configure(
                side.interface,
                keys[side.interface].private,
                WIREGUARD_PORT,
                keys[other.interface].public,
                f"{host}:{WIREGUARD_PORT}",
            )
            uapi.add_idle_peers(side.interface, self.link.peers - 1)

    def _wait_until_reachable(self, a: Side, b: Side) -> None:
        try:
            a.namespace.run(
                "ping", "-nq", "-i", "0.2", "-c", "1", "-w", str(READY_TIMEOUT), b.address
            )
        except CommandFailed as error:
            raise CommandFailed(f"{self.contender.name} carries nothing: {error}") from error


def _bring_up(namespace: Namespace, interface: str, address: str, mtu: int) -> None:
    # The kernel would otherwise look for duplicates of an IPv6 address for a second.
    unique = " nodad" if ":" in address else ""
    batch = f"addr add {address} dev {interface}{unique}\nlink set {interface} mtu {mtu} up\n"
    namespace.run("ip", "-batch", "-", text=batch)
