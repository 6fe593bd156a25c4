"""A booted Linux with its own WireGuard, reached over a serial line.

One qemu process under software emulation, its network card a TAP device in a namespace the caller
made. The console protocol is one line each way: a base64 command, then its exit status and its
base64 output. Knows nothing of WireGuard; kernel_image.py made what it boots.
"""

from __future__ import annotations

import base64
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.interop.kernel_image import Kernel

BOOT_TIMEOUT = 60.0
COMMAND_TIMEOUT = 60.0
MEMORY_MIB = 256


class GuestError(Exception):
    """A command in the guest failed, or the guest does not answer."""


class KernelGuest:
    """A running guest; leaving the context ends it."""

    def __init__(
        self, kernel: Kernel, initramfs: Path, *, namespace: str, tap: str, folder: Path
    ) -> None:
        self._log = folder / "guest.log"
        console = folder / "guest.sock"
        command = _qemu_command(kernel, initramfs, tap=tap, log=self._log, console=console)
        self._stack = ExitStack()
        with self._stack:
            self._process = self._stack.enter_context(_start(namespace, command))
            self._stack.callback(self._process.terminate)
            self._console = self._stack.enter_context(_connect(console, self._process))
            self._lines = self._stack.enter_context(self._console.makefile("rb"))
            self.release = self._answer(BOOT_TIMEOUT).split()[1]
            self._stack = self._stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def run(self, command: str, *, timeout: float = COMMAND_TIMEOUT) -> str:
        """Run a shell command in the guest; its output. Raises GuestError when it fails.

        A process left in the background must have its output redirected.
        """
        status, output = self.attempt(command, timeout=timeout)
        if status != 0:
            raise GuestError(f"{command!r} ended with {status} in the guest: {output}")
        return output

    def attempt(self, command: str, *, timeout: float = COMMAND_TIMEOUT) -> tuple[int, str]:
        """The exit status and output of a shell command in the guest."""
        self._console.sendall(base64.b64encode(command.encode()) + b"\n")
        status, _, output = self._answer(timeout).partition(" ")
        return int(status), base64.b64decode(output).decode(errors="replace")

    def close(self) -> None:
        """The guest is gone."""
        self._stack.close()

    def _answer(self, timeout: float) -> str:
        self._console.settimeout(timeout)
        try:
            line = self._lines.readline()
        except OSError as error:
            raise GuestError(f"the guest does not answer: {self._last_words()}") from error
        if not line:
            raise GuestError(f"the guest went away: {self._last_words()}")
        return line.decode().strip()

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-500:] if self._log.exists() else ""


def _start(namespace: str, command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["ip", "netns", "exec", namespace, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _qemu_command(
    kernel: Kernel, initramfs: Path, *, tap: str, log: Path, console: Path
) -> list[str]:
    return [
        "qemu-system-x86_64", "-accel", "tcg,tb-size=128", "-M", "pc", "-cpu", "max",
        "-m", str(MEMORY_MIB),
        "-nodefaults", "-display", "none", "-no-reboot",
        "-kernel", str(kernel.image), "-initrd", str(initramfs),
        "-append", "console=ttyS0 quiet panic=-1 mitigations=off",
        "-chardev", f"file,id=log,path={log}", "-serial", "chardev:log",
        "-chardev", f"socket,id=console,path={console},server=on,wait=off",
        "-serial", "chardev:console",
        "-netdev", f"tap,id=net,ifname={tap},script=no,downscript=no",
        "-device", "virtio-net-pci,netdev=net,romfile=",
    ]  # fmt: skip


def _connect(path: Path, process: subprocess.Popen[bytes]) -> socket.socket:
    deadline = time.monotonic() + BOOT_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            time.sleep(0.02)
        else:
            return connection
    raise GuestError(f"qemu did not start: {process.poll()}")
