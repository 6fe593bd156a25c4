"""kubespan-wg: a WireGuard interface from the command line, as wireguard-go offers it.

Reads the command line and the environment, makes the TUN device and the configuration socket, and
goes into the background: both exist when the command returns, because scripts use them at once.
What the process then does is `serving`, which only that process imports. wireguard-go main.go for
the contract.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NoReturn, TypeVar

import kubespan
from kubespan.api.listener import Listener, adopt, listen
from kubespan.linux.tun import Tun, adopt_tun, create_tun
from kubespan.model.errors import ConfigError, KubespanError, SystemFault

USAGE = """\
Usage: kubespan-wg [-f/--foreground] INTERFACE-NAME

Makes the WireGuard interface INTERFACE-NAME; configure it with wg(8). Environment:
  LOG_LEVEL                verbose (or debug), error (the default), silent
  WG_TUN_FD, WG_UAPI_FD    descriptors of an open TUN device and a listening socket to use
  WG_PROCESS_FOREGROUND=1  the same as -f
  KUBESPAN_PURE=1          every packet in Python: slow, for comparison
  KUBESPAN_AEAD            what seals packets: avx512, avx2, libcrypto, portable or libsodium;
                           the default is the first of these that this machine can run
  KUBESPAN_THREADS         1 thread for both directions, 2, or up to 16, half of them for the way
                           out; the default is 1 on two processors or fewer, else 2
  KUBESPAN_OFFLOAD=0       neither segmentation nor coalescing: for kernels that have it wrong
  KUBESPAN_CORE_DUMPS=1    let the system write our memory, and so the keys, to disk when we crash
  KUBESPAN_KEYLOG=FILE     write the keys of every session to FILE, for a packet analyser"""

VERSION = f"""\
kubespan-wg v{kubespan.__version__}

Userspace WireGuard daemon for linux-{os.uname().machine}.
Information available at https://www.wireguard.com."""

LEAVE_SIGNALS = (signal.SIGINT, signal.SIGTERM)

TUN_ADVICE = {
    errno.EPERM: "run it as root, or give it the capability CAP_NET_ADMIN",
    errno.EACCES: "run it as root, or let it open /dev/net/tun",
    errno.EBUSY: "an interface of that name is in use; take another name, or delete that one",
    errno.EINVAL: "an interface of that name is there and no TUN device; take another name",
    errno.ENOENT: "there is no /dev/net/tun here; load the module with modprobe tun",
    errno.ENODEV: "the kernel has no TUN devices; load the module with modprobe tun",
}
SOCKET_ADVICE = {
    errno.EADDRINUSE: "another program serves that interface; end it first, or take another name",
    errno.EACCES: "run it as root",
    errno.EROFS: "the folder must be writable",
}


_Opened = TypeVar("_Opened")


class LogLevel(Enum):
    """How much is written."""

    VERBOSE = "verbose"
    ERROR = "error"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Invocation:
    """What was asked for."""

    interface: str
    foreground: bool
    log_level: LogLevel
    keeps_output: bool
    """Whether a process in the background still writes where we were told to."""

    tun_fd: int | None
    uapi_fd: int | None


class UsageError(Exception):
    """The command line is not one that we know."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0 done, 1 it could not be set up."""
    try:
        words = _parse(sys.argv[1:] if arguments is None else arguments)
    except UsageError:
        # Not a failure for wireguard-go, so not one for scripts that know it.
        print(USAGE)
        return 0
    if words.version:
        print(VERSION)
        return 0
    level = log_level(os.environ)
    try:
        run(invocation(words.interface, words.foreground, os.environ))
    except KubespanError as error:
        if level is not LogLevel.SILENT:
            now = time.strftime("%Y/%m/%d %H:%M:%S")
            print(f"ERROR: ({words.interface}) {now} {error}", file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("-f", "--foreground", action="store_true")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("interface", nargs="?")
    words = parser.parse_args(arguments)
    if words.version == (words.interface is not None):
        raise UsageError("either an interface or a question")
    return words


def log_level(environment: Mapping[str, str]) -> LogLevel:
    """Return what LOG_LEVEL asks for; anything that it does not know is the default."""
    match environment.get("LOG_LEVEL"):
        case "verbose" | "debug":
            return LogLevel.VERBOSE
        case "silent":
            return LogLevel.SILENT
        case _:
            return LogLevel.ERROR


def invocation(interface: str, foreground: bool, environment: Mapping[str, str]) -> Invocation:
    """Return what the command line and the environment ask for together. Raises ConfigError."""
    return Invocation(
        interface,
        foreground or environment.get("WG_PROCESS_FOREGROUND") == "1",
        log_level(environment),
        environment.get("LOG_LEVEL", "") not in ("", "silent"),
        _descriptor(environment, "WG_TUN_FD"),
        _descriptor(environment, "WG_UAPI_FD"),
    )


def _descriptor(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise ConfigError(f"{name}={text!r}: write the number of an open descriptor, or unset it")
    return int(text)


def run(asked: Invocation) -> None:
    """Set the interface up and serve it until its end; in the background, return at once.

    Raises KubespanError while setting up; nothing is left behind then.
    """
    from kubespan import fastpath  # noqa: PLC0415  a wrong command line is answered without it

    # While there is nothing yet, and whoever called hears of it: in the background nobody would.
    fastpath.check_environment()
    # Whoever asks us to leave has to wait until we can do so cleanly.
    signal.pthread_sigmask(signal.SIG_BLOCK, LEAVE_SIGNALS)
    tun, listener = _set_up(asked)
    # Now: once the command has returned, the interface may be deleted at any moment.
    interface = tun.name
    if not asked.foreground:
        _go_into_background(tun, listener, keeps_output=asked.keeps_output)
    from kubespan.cli.serving import serve  # noqa: PLC0415  for the process that goes on only

    serve(tun, listener, interface=interface, level=asked.log_level.value)


def _set_up(asked: Invocation) -> tuple[Tun, Listener]:
    tun = _advised("Failed to create TUN device", TUN_ADVICE, lambda: _open_tun(asked))
    try:
        listener = _advised("UAPI listen error", SOCKET_ADVICE, lambda: _open_socket(asked, tun))
    except KubespanError:
        tun.close()
        raise
    return tun, listener


def _open_tun(asked: Invocation) -> Tun:
    from kubespan.fastpath import TUN_QUEUES  # noqa: PLC0415  as in `run`

    if asked.tun_fd is not None:
        return adopt_tun(asked.tun_fd)
    has_offloads = os.environ.get("KUBESPAN_OFFLOAD") != "0"
    return create_tun(asked.interface, vnet_header=has_offloads, queues=TUN_QUEUES)


def _open_socket(asked: Invocation, tun: Tun) -> Listener:
    return listen(tun.name) if asked.uapi_fd is None else adopt(asked.uapi_fd)


def _advised(what: str, advice: Mapping[int, str], action: Callable[[], _Opened]) -> _Opened:
    """Return what an action opens; its failure says what failed, and what to do instead."""
    try:
        return action()
    except SystemFault as fault:
        hint = advice.get(fault.errno)
        raise ConfigError(f"{what}: {fault}" + (f"; {hint}" if hint else "")) from fault
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from error


def _go_into_background(tun: Tun, listener: Listener, *, keeps_output: bool) -> None:
    """Return in another process, and let the one that was called end. Raises ConfigError.

    There is no thread yet, so a fork copies everything there is.
    """
    try:
        child = os.fork()
    except OSError as error:
        listener.close()
        tun.close()
        raise ConfigError(f"Failed to daemonize: {error.strerror}") from error
    if child:
        # Not sys.exit: device and socket are the other process's to close.
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0,) if keeps_output else (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)


if __name__ == "__main__":
    sys.exit(main())
