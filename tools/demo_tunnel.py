"""The first act: two hosts, one cable, a tunnel, and the numbers.

Makes two named network namespaces and a WireGuard program in each, which talks to the other as any
user of `kubespan-wg` would have it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from tools.demo_stage import FailedError, inside, run, tell

SOCKETS = Path("/run/wireguard")
START_TIMEOUT = 10.0
LEAVE_TIMEOUT = 5.0
PORT = 51820


@dataclass
class Host:
    """One network namespace, the WireGuard program in it, and what both are called."""

    name: str
    interface: str
    program: str
    underlay: str
    tunnel4: str
    tunnel6: str
    private_key: str = field(default_factory=lambda: run("wg", "genkey").strip(), repr=False)
    log: Path = Path()
    process: subprocess.Popen[bytes] | None = None

    @property
    def public_key(self) -> str:
        """What the other host has to know."""
        return run("wg", "pubkey", stdin=self.private_key).strip()

    @property
    def title(self) -> str:
        """The program's own name and version."""
        return run(self.program, "--version").splitlines()[0]

    @property
    def socket(self) -> Path:
        """Where `wg` finds the program."""
        return SOCKETS / f"{self.interface}.sock"

    def ip(self, *words: str) -> str:
        """Run `ip` on this host."""
        return run("ip", "-n", self.name, *words)

    def inside(self, *words: str) -> tuple[str, ...]:
        """Give the command line that runs a program on this host and ends it when we end."""
        return inside(self.name, *words)

    def start(self, directory: Path) -> float:
        """Start the WireGuard program; return the seconds until it answered `wg`."""
        self.log = directory / f"{self.name}.log"
        began = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.inside(self.program, "-f", self.interface),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"LOG_LEVEL": "error", **os.environ},
            )
        while not self.socket.exists():
            if self.process.poll() is not None or time.monotonic() - began > START_TIMEOUT:
                raise FailedError(f"{self.title} did not start on {self.name}")
            time.sleep(0.001)
        run("wg", "show", self.interface)
        return time.monotonic() - began

    def configure(self, other: Host, preshared_key: str) -> None:
        """Give the program its key and its one peer, and bring the interface up."""
        lines = (
            "[Interface]",
            f"PrivateKey = {self.private_key}",
            f"ListenPort = {PORT}",
            "[Peer]",
            f"PublicKey = {other.public_key}",
            f"PresharedKey = {preshared_key}",
            f"Endpoint = {other.underlay}:{PORT}",
            f"AllowedIPs = {other.tunnel4}/32, {other.tunnel6}/128",
        )
        run("wg", "setconf", self.interface, "/dev/stdin", stdin="\n".join(lines))
        self.ip("address", "add", f"{self.tunnel4}/24", "dev", self.interface)
        self.ip("address", "add", f"{self.tunnel6}/64", "dev", self.interface, "nodad")
        self.ip("link", "set", self.interface, "up")

    def wait_until_listening(self) -> None:
        """Return once the program has its sockets, which it opens when it hears of "up"."""
        began = time.monotonic()
        while not run(*self.inside("ss", "-Hlun", f"sport = :{PORT}")):
            if time.monotonic() - began > START_TIMEOUT:
                raise FailedError(f"{self.title} is up and does not listen on {self.name}")

    def ping(self, address: str, *options: str) -> tuple[int, float]:
        """Return how many pings were answered, and their average round trip in milliseconds."""
        said = run(*self.inside("ping", "-n", "-q", "-W", "2", *options, address))
        answered = re.search(r"(\d+) received", said)
        average = re.search(r"= [\d.]+/([\d.]+)/", said)
        if answered is None or average is None:
            raise FailedError(f"{self.name} could not ping {address}: {said.strip()}")
        return int(answered[1]), float(average[1])

    def transfer(self, other: Host, seconds: int, *options: str) -> float:
        """Send over TCP to the other host for a while; return the bits a second that arrived."""
        server = subprocess.Popen(
            other.inside("iperf3", "-s", "-1", "--forceflush", "-B", other.tunnel4),
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            _wait_for_line(server, "Server listening")
            client = ("iperf3", "-J", "-c", other.tunnel4, "-t", str(seconds), *options)
            report = json.loads(run(*self.inside(*client)))
            return float(report["end"]["sum_received"]["bits_per_second"])
        finally:
            server.kill()
            server.communicate()

    def has_handshake(self) -> bool:
        """Say whether the program knows of a finished handshake."""
        times = run("wg", "show", self.interface, "latest-handshakes").split()
        return bool(times) and times[-1] != "0"

    def leave(self) -> float:
        """Delete the interface; return the seconds until the program had gone because of it."""
        process = self.process
        if process is None:
            return 0.0
        began = time.monotonic()
        self.ip("link", "delete", self.interface)
        try:
            process.wait(LEAVE_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise FailedError(f"{self.title} stayed after its interface was deleted") from None
        if self.socket.exists():
            raise FailedError(f"{self.title} left {self.socket} behind")
        return time.monotonic() - began

    def kill(self) -> None:
        """End the program whatever it is doing."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def _wait_for_line(process: subprocess.Popen[str], beginning: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(beginning):
            return
    raise FailedError(f"{process.args!r} ended before it was ready")


# ------------------------------------------------------------------------------------- the story


def play(left: Host, right: Host, seconds: int, directory: Path) -> None:
    """Tell the whole act."""
    try:
        lay_cable(left, right)
        introduce(left, right)
        bring_up(left, right, directory)
        exchange(left, right, seconds)
        show(left, right)
        clean_up(left, right)
    finally:
        left.kill()
        right.kill()


def lay_cable(left: Host, right: Host) -> None:
    """Make both hosts, and the virtual cable between them."""
    for host in (left, right):
        run("ip", "netns", "add", host.name)
        host.ip("link", "set", "lo", "up")
    ends = ("eth0", "netns", left.name, "type", "veth", "peer", "name", "eth0", "netns", right.name)
    run("ip", "link", "add", *ends)
    for host in (left, right):
        host.ip("address", "add", f"{host.underlay}/24", "dev", "eth0")
        host.ip("link", "set", "eth0", "up")


def introduce(left: Host, right: Host) -> None:
    """Say who takes part."""
    print("Two hosts on this machine, joined by a virtual cable:\n")
    for host in (left, right):
        print(f"  {host.name:<8}{host.title}")
        addresses = f"{host.tunnel4} and {host.tunnel6}"
        print(f"  {'':<8}{host.underlay} on the cable; {addresses} in the tunnel")
    print()


def bring_up(left: Host, right: Host, directory: Path) -> None:
    """Start both programs, give them their keys, and watch the first handshake."""
    ready = [host.start(directory) for host in (left, right)]
    tell("started", f"`wg` was answered after {ready[0]:.2f} s and {ready[1]:.2f} s")
    preshared_key = run("wg", "genpsk").strip()
    left.configure(right, preshared_key)
    right.configure(left, preshared_key)
    for host in (left, right):
        host.wait_until_listening()
    _, first = left.ping(right.tunnel4, "-c", "1")
    if not (left.has_handshake() and right.has_handshake()):
        raise FailedError("a ping came back, but `wg` knows of no handshake")
    tell("handshake", f"done; the first ping, which had to wait for it, took {first:.1f} ms")


def exchange(left: Host, right: Host, seconds: int) -> None:
    """Ping and transfer through the tunnel."""
    for family, address in (("ping, IPv4", right.tunnel4), ("ping, IPv6", right.tunnel6)):
        answered, average = left.ping(address, "-c", "20", "-i", "0.05")
        tell(family, f"{answered} of 20 answered, {average:.2f} ms on average")
        if answered != 20:
            raise FailedError("a ping was lost on a cable that loses nothing")
    for title, options in (("left to right", ()), ("right to left", ("-R",))):
        speed = left.transfer(right, seconds, *options)
        tell(f"TCP, {title}", f"{speed / 1e9:.2f} Gbit/s over {seconds} s")


def show(left: Host, right: Host) -> None:
    """Print what `wg show` says of both ends."""
    for host in (left, right):
        print(f"\n  $ wg show {host.interface}")
        for line in run("wg", "show", host.interface).splitlines():
            print(f"  {line}")
    print()


def clean_up(left: Host, right: Host) -> None:
    """Delete both interfaces, see both programs go, delete both hosts, and look for leftovers."""
    gone = [host.leave() * 1e3 for host in (left, right)]
    for host in (left, right):
        run("ip", "netns", "delete", host.name)
    leftovers = [*SOCKETS.glob("*"), *Path("/run/netns").glob("*")]
    if leftovers:
        raise FailedError(f"left behind: {leftovers}")
    tell("ended", f"both programs by themselves, {gone[0]:.0f} ms and {gone[1]:.0f} ms after their")
    tell("", "interfaces were deleted; nothing is left behind")
