"""The laboratory: namespaces, cables between them and WireGuard interfaces, all gone at the end.

    with Laboratory() as lab:
        here, there = lab.namespace("here"), lab.namespace("there")
        lab.cable(here, "eth0", there, "eth0")
        tunnel = lab.tunnel(program, here)

An interface is started by the contract that every userspace WireGuard keeps: `PROGRAM INTERFACE`
makes the interface and its control socket, and returns. Control sockets lie in one folder for all
namespaces, hence every interface of every run has a name of its own.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.netns.namespace import Namespace, run, unique_name
from tests.peers import Program, need

SOCKETS = Path("/var/run/wireguard")
LEAVING_TIMEOUT = 5.0
NO_KEY = "0" * 64


class StuckError(AssertionError):
    """A daemon did not leave when its interface was deleted."""


def eventually(what: str, holds: Callable[[], bool], timeout: float = 5.0) -> float:
    """Wait until something holds and return the seconds it took; fail, saying what, otherwise."""
    begun = time.monotonic()
    while not holds():
        if time.monotonic() - begun > timeout:
            raise AssertionError(f"{what}: not within {timeout:g} s")
        time.sleep(0.005)
    return time.monotonic() - begun


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key and its public key, in base64 as `wg` writes them."""

    private: str
    public: str

    @classmethod
    def generate(cls) -> Self:
        """Make a new one with `wg` itself."""
        private = run("wg", "genkey").strip()
        return cls(private, run("wg", "pubkey", stdin=private).strip())


class Tunnel:
    """A WireGuard interface and the daemon behind it.

    `born` is the namespace it was made in, where its UDP sockets are and stay; `namespace` is
    where the interface is at present.
    """

    def __init__(self, program: Program, born: Namespace, folder: Path, name: str = "") -> None:
        self.name = name or unique_name("w")
        self.program = program
        self.born = self.namespace = born
        self.keys = KeyPair.generate()
        self.inner4 = self.inner6 = ""
        self._folder = folder
        self._log = folder / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.pid = 0
        self.started_in = 0.0

    # ------------------------------------------------------------------ the daemon

    @property
    def socket_path(self) -> Path:
        """Where the control socket lies."""
        return SOCKETS / f"{self.name}.sock"

    def start(self, **variables: str) -> Self:
        """Start it in the background; interface and socket exist when this returns."""
        begun = time.monotonic()
        with self._log.open("ab") as log:
            done = subprocess.run(
                ("ip", "netns", "exec", self.born.name, self.program.path, self.name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "LOG_LEVEL": "error", **variables},
                timeout=LEAVING_TIMEOUT,
                check=False,
            )
        self.started_in = time.monotonic() - begun
        assert done.returncode == 0, f"{self.name} starts: {self.log()}"
        assert self.socket_path.is_socket(), "the control socket is there when the parent returns"
        self.pid = next(iter(holders(self.name)))
        return self

    def start_in_foreground(self, **variables: str) -> Self:
        """Start it as a child of this process, so that its exit status can be read."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ("ip", "netns", "exec", self.born.name, self.program.path, "-f", self.name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "LOG_LEVEL": "error", **variables},
            )
        self.pid = self._process.pid
        eventually("the control socket", self.answers)
        return self

    def log(self) -> str:
        """Return what the daemon has said so far."""
        return _text(self._log)

    def answers(self) -> bool:
        """Tell whether somebody listens on the control socket."""
        with socket.socket(socket.AF_UNIX) as control:
            return control.connect_ex(str(self.socket_path)) == 0

    def is_running(self) -> bool:
        """Tell whether the daemon still is a living process."""
        if self._process is not None:
            return self._process.poll() is None
        return self.pid != 0 and is_alive(self.pid)

    def exit_status(self) -> int:
        """Wait for the daemon that was started in the foreground, and return its exit status."""
        assert self._process is not None
        return self._process.wait(timeout=LEAVING_TIMEOUT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon."""
        os.kill(self.pid, number)

    def is_gone(self) -> bool:
        """Tell whether process and control socket are both gone."""
        return not self.is_running() and not self.socket_path.exists()

    def resident(self) -> int:
        """Return the daemon's resident memory in KiB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError(f"{self.name}: the daemon has no resident memory")

    def descriptors(self) -> int:
        """Return how many files the daemon has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208  names only, and quickly

    # ------------------------------------------------------------------ the link

    def move(self, namespace: Namespace) -> None:
        """Move the interface elsewhere; the daemon's sockets stay where they are."""
        self.namespace.ip("link", "set", self.name, "netns", namespace.name)
        self.namespace = namespace

    def address(self, inner4: str = "", inner6: str = "") -> None:
        """Give inner addresses, as `address/length`, to the interface."""
        self.namespace.address(self.name, *filter(None, (inner4, inner6)))
        self.inner4, self.inner6 = inner4.partition("/")[0], inner6.partition("/")[0]

    def up(self, mtu: int = 0) -> None:
        """Bring the interface up, with another MTU if one is given."""
        words = ("mtu", str(mtu)) if mtu else ()
        self.namespace.ip("link", "set", self.name, *words, "up")

    def listens(self) -> bool:
        """Tell whether datagrams are heard: a daemon learns of the link a moment after `up`."""
        return int(self.shown("listen-port")) in self.born.udp_ports()

    def down(self) -> None:
        """Take the interface down."""
        self.namespace.ip("link", "set", self.name, "down")

    def delete(self) -> None:
        """Delete the interface, which asks the daemon to leave."""
        self.namespace.ip("link", "delete", self.name)

    # ------------------------------------------------------------------ the configuration

    def set(self, *words: str) -> None:
        """Run `wg set` on it."""
        run("wg", "set", self.name, *words)

    def set_key(self, keys: KeyPair | None = None) -> None:
        """Give it its private key, or another one."""
        self.keys = keys or self.keys
        self.set("private-key", self._secret("key", self.keys.private))

    def peer(self, public: str, *words: str, preshared: str = "") -> None:
        """Run `wg set` on one of its peers."""
        secret = ("preshared-key", self._secret("psk", preshared)) if preshared else ()
        self.set("peer", public, *secret, *words)

    def show(self, what: str) -> list[list[str]]:
        """Return what `wg show INTERFACE WHAT` prints, as rows of words."""
        return [line.split() for line in run("wg", "show", self.name, what).splitlines()]

    def shown(self, what: str, public: str = "") -> str:
        """Return one value: of the interface, or of one peer."""
        rows = self.show(what)
        if not public:
            return " ".join(rows[0])
        return " ".join(next(row[1:] for row in rows if row[0] == public))

    def transfer(self, public: str) -> tuple[int, int]:
        """Return how many bytes were received from a peer and sent to it."""
        received, sent = self.shown("transfer", public).split()
        return int(received), int(sent)

    def ask(self, request: str) -> str:
        """Send one request in the control protocol and return the answer to its blank line."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(10)
            control.connect(str(self.socket_path))
            control.sendall(request.encode())
            return receive_answers(control, 1)

    def _secret(self, kind: str, value: str) -> str:
        """`wg` reads secrets from files only."""
        path = self._folder / f"{self.name}.{kind}"
        path.write_text(value)
        return str(path)

    # ------------------------------------------------------------------ leaving

    def close(self) -> None:
        """Delete the interface if it is there; the daemon leaves by itself, or that is an error."""
        run("ip", "-n", self.namespace.name, "link", "delete", self.name, check=False)
        self.pid = self.pid or next(iter(holders(self.name)), 0)
        try:
            eventually(f"{self.name} leaves", lambda: not self.is_running(), LEAVING_TIMEOUT)
        except AssertionError as error:
            os.kill(self.pid, signal.SIGKILL)
            raise StuckError(f"{self.program.name} had to be killed: {error}") from error
        finally:
            self.socket_path.unlink(missing_ok=True)
            if self._process is not None:
                self._process.wait(timeout=LEAVING_TIMEOUT)


def receive_answers(control: socket.socket, count: int) -> str:
    """Read a control connection until so many blank lines, or its end."""
    data = b""
    while data.count(b"\n\n") < count:
        more = control.recv(1 << 20)
        if not more:
            break
        data += more
    return data.decode()


def holders(interface: str) -> set[int]:
    """Find the processes that hold the TUN device behind an interface.

    The peer credentials of the control socket would name whoever called listen(), which in a
    program that starts itself anew is a process that has left already.
    """
    wanted = f"iff:\t{interface}\n"
    return {
        int(info.parts[2])
        for info in Path("/proc").glob("[0-9]*/fdinfo/*")
        if _is_tun(info) and wanted in _text(info)
    }


def is_alive(pid: int) -> bool:
    """Tell whether a process is there and more than a zombie that nobody has waited for."""
    state = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].strip()[:1]
    return state not in ("", "Z", "X")


def _is_tun(info: Path) -> bool:
    try:
        return (info.parent.parent / "fd" / info.name).readlink() == Path("/dev/net/tun")
    except OSError:
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


class Laboratory:
    """Everything one test makes, taken down in the reverse order whatever happens."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._folder = Path()
        self._tunnels: list[Tunnel] = []
        self.all_namespaces: list[Namespace] = []

    def __enter__(self) -> Self:
        need("ip", "ping", "wg")
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for tunnel in self._tunnels:
            if tunnel.log():
                print(f"{tunnel.name}, {tunnel.program.name}: {tunnel.log()}")  # noqa: T201
        self._stack.__exit__(kind, error, trace)

    @property
    def folder(self) -> Path:
        """A folder of this laboratory alone."""
        return self._folder

    def namespace(self, label: str) -> Namespace:
        """Add a namespace with its loopback up."""
        namespace = Namespace(label)
        self.all_namespaces.append(namespace)
        self._stack.callback(namespace.close)
        return namespace

    def namespaces(self, *labels: str) -> list[Namespace]:
        """Add several namespaces."""
        return [self.namespace(label) for label in labels]

    def cable(self, one: Namespace, port: str, other: Namespace, other_port: str) -> None:
        """Connect two namespaces by a virtual cable, both ends up."""
        peer = ("peer", "name", other_port, "netns", other.name)
        run("ip", "link", "add", port, "netns", one.name, "type", "veth", *peer)
        for namespace, name in ((one, port), (other, other_port)):
            namespace.inside(partial(_quiet, name))
            namespace.ip("link", "set", name, "up")

    def tunnel(self, program: Program, born: Namespace, name: str = "") -> Tunnel:
        """Add an interface whose daemon is not yet started."""
        tunnel = Tunnel(program, born, self._folder, name)
        self._stack.callback(tunnel.close)
        self._tunnels.append(tunnel)
        return tunnel


def _quiet(interface: str) -> None:
    """Let the interface carry only what the test sends, and its addresses be usable at once."""
    settings = Path("/proc/sys/net/ipv6/conf", interface)
    (settings / "router_solicitations").write_text("0")
    (settings / "accept_dad").write_text("0")
