"""One network namespace of the laboratory: run programs in it, open sockets in it, shape it.

A socket belongs for ever to the namespace it was made in, so a test opens its sockets through
`Namespace.socket` and then uses them like any other, from one process.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

SO_RCVBUFFORCE = 33
CLONE_NEWNET = 0x40000000
COMMAND_TIMEOUT = 30.0

_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)
_Result = TypeVar("_Result")


def unique_name(label: str) -> str:
    """Build a name of at most 15 characters that no other run on this machine uses."""
    return f"ks{os.getpid()}{label}{next(_numbers)}"


class CommandFailedError(AssertionError):
    """A program that a test relies on ended with an error; the message has all it said."""


def run(
    *words: str,
    stdin: str = "",
    timeout: float = COMMAND_TIMEOUT,
    check: bool = True,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Run a program to its end and return what it printed; `variables` join its environment."""
    done = subprocess.run(
        words,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **variables},
    )
    if check and done.returncode != 0:
        said = (done.stdout + done.stderr).strip()
        raise CommandFailedError(f"{' '.join(words)} ended with {done.returncode}: {said}")
    return done.stdout


class Namespace:
    """A network namespace with its loopback up, from construction until `close`."""

    def __init__(self, label: str) -> None:
        self.name = unique_name(f"-{label}-")
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def close(self) -> None:
        """End what still runs in it and delete it, if it is still there."""
        if not Path("/run/netns", self.name).exists():
            return
        for pid in run("ip", "netns", "pids", self.name).split():
            run("kill", "-KILL", pid, check=False)  # It may just have ended.
        run("ip", "netns", "del", self.name)

    def run(
        self,
        *words: str,
        stdin: str = "",
        timeout: float = COMMAND_TIMEOUT,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> str:
        """Run a program in here to its end and return what it printed."""
        inside = ("ip", "netns", "exec", self.name, *words)
        return run(*inside, stdin=stdin, timeout=timeout, variables=variables)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a program in here; whoever starts it waits for it."""
        return subprocess.Popen(
            ("ip", "netns", "exec", self.name, *words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ip(self, *words: str) -> str:
        """Run `ip` on this namespace."""
        return run("ip", "-n", self.name, *words)

    def link(self, interface: str) -> dict[str, Any]:
        """Return what `ip` knows about one link: flags, mtu, counters."""
        found: list[dict[str, Any]] = json.loads(self.ip("-j", "-s", "link", "show", interface))
        return found[0]

    def address(self, interface: str, *addresses: str) -> None:
        """Give addresses to an interface, usable at once."""
        for address in addresses:
            extra = ("nodad",) if ":" in address else ()
            self.ip("address", "add", address, "dev", interface, *extra)

    def sysctl(self, key: str, value: int) -> None:
        """Set one kernel parameter in here, by its path under /proc/sys."""
        self.inside(lambda: Path("/proc/sys", key).write_text(str(value)))

    def nft(self, rules: str) -> None:
        """Load nftables rules."""
        self.run("nft", "-f", "-", stdin=rules)

    def inside(self, action: Callable[[], _Result]) -> _Result:
        """Call something in a thread that lives in this namespace."""
        outcome: list[_Result] = []
        failure: list[Exception] = []

        def visit() -> None:
            try:
                self._enter()
                outcome.append(action())
            except Exception as error:  # noqa: BLE001 - the caller's thread raises it again
                failure.append(error)

        thread = threading.Thread(target=visit, name=f"in-{self.name}")
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return outcome[0]

    def _enter(self) -> None:
        """Move the calling thread in here, for good."""
        with Path("/run/netns", self.name).open() as file:
            if _libc.setns(file.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"cannot enter {self.name}")

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """Open a socket that belongs in here."""
        return self.inside(lambda: socket.socket(family, kind, protocol))

    def udp_ports(self) -> set[int]:
        """Return the UDP ports that are bound in here, in either family."""
        tables = [Path("/proc/thread-self/net", name) for name in ("udp", "udp6")]
        text = self.inside(lambda: "".join(table.read_text() for table in tables))
        return {
            int(port, 16)
            for port in re.findall(r"^ *\d+: [0-9A-F]+:([0-9A-F]{4})", text, re.MULTILINE)
        }

    def ping(self, address: str, *options: str, count: int = 1, size: int = 56) -> None:
        """Ping, waiting at most a second for each; every single one is answered."""
        words = ("ping", "-n", "-q", "-c", str(count), "-s", str(size), "-W", "1", *options)
        if count > 1 and "-i" not in options:
            words = (*words, "-f")
        self.run(*words, address)

    def answers(self, address: str, *options: str, count: int = 1) -> int:
        """Ping as `ping` does and return how many answers came back."""
        words = ("ping", "-n", "-q", "-c", str(count), "-W", "1", *options, address)
        process = self.start(*words)
        output, _ = process.communicate(timeout=COMMAND_TIMEOUT)
        received = re.search(r"(\d+) received", output)
        if received is None:
            raise CommandFailedError(f"{' '.join(words)}: {output}")
        return int(received[1])
