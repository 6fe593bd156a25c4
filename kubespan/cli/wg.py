"""kubespan-wg: a WireGuard interface from the command line, as wireguard-go offers it.

Reads the command line and the environment, makes the TUN device and the configuration socket, and
goes into the background: both exist when the command returns, because scripts use them at once.
What the process then does is `serving`. wireguard-go main.go for the contract.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import kubespan
from kubespan.api.listener import Listener, adopt, listen
from kubespan.cli.serving import hold_signals, serve
from kubespan.linux.tun import Tun, adopt_tun, create_tun
from kubespan.model.errors import ConfigError, KubespanError

USAGE = """\
usage: kubespan-wg [-f|--foreground] INTERFACE-NAME
       kubespan-wg --version

Makes the WireGuard interface INTERFACE-NAME; configure it with wg(8). Environment:
  LOG_LEVEL                verbose (or debug), error (the default), silent
  WG_TUN_FD, WG_UAPI_FD    descriptors of an open TUN device and a listening socket to use
  WG_PROCESS_FOREGROUND=1  the same as -f
  KUBESPAN_PURE=1          every packet in Python: slow, for comparison
  KUBESPAN_AEAD            libcrypto or libsodium; the default is the faster of those at hand
  KUBESPAN_THREADS=1       one thread for both directions instead of one for each
  KUBESPAN_OFFLOAD=0       neither segmentation nor coalescing: for kernels that have it wrong
  KUBESPAN_KEYLOG=FILE     write the keys of every session to FILE, for a packet analyser"""

LEVELS = {"verbose": logging.DEBUG, "debug": logging.DEBUG, "silent": logging.CRITICAL + 1}


@dataclass(frozen=True, slots=True)
class Invocation:
    """What was asked for."""

    interface: str
    foreground: bool
    log_level: int
    keeps_output: bool
    """Whether a process in the background still writes where we were told to."""

    tun_fd: int | None
    uapi_fd: int | None


def main() -> int:
    """Run the command; return its exit status: 0 done, 1 it could not be set up."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        print(f"kubespan-wg v{kubespan.__version__}\n\nUserspace WireGuard for Linux.")
        return 0
    names = [word for word in arguments if word not in ("-f", "--foreground")]
    if len(names) != 1 or len(arguments) > 2:
        print(USAGE)
        return 0
    try:
        run(invocation(names[0], len(arguments) == 2, os.environ))
    except KubespanError as error:
        print(f"kubespan-wg: {names[0]}: {error}", file=sys.stderr)
        return 1
    return 0


def invocation(interface: str, foreground: bool, environment: Mapping[str, str]) -> Invocation:
    """Return what the command line and the environment ask for together. Raises ConfigError."""
    level = environment.get("LOG_LEVEL", "")
    return Invocation(
        interface,
        foreground or environment.get("WG_PROCESS_FOREGROUND") == "1",
        LEVELS.get(level, logging.ERROR),
        level not in ("", "silent"),
        _descriptor(environment, "WG_TUN_FD"),
        _descriptor(environment, "WG_UAPI_FD"),
    )


def _descriptor(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "")
    if not text:
        return None
    if not text.isdecimal():
        raise ConfigError(f"{name}={text!r}: write the number of an open descriptor, or unset it")
    return int(text)


def run(asked: Invocation) -> None:
    """Set the interface up and serve it until its end; in the background, return at once.

    Raises KubespanError while setting up; nothing is left behind then.
    """
    hold_signals()
    tun, listener = _set_up(asked)
    if not asked.foreground and not _goes_on_in_background(asked):
        return
    serve(tun, listener, _log(tun.name, asked.log_level))


def _set_up(asked: Invocation) -> tuple[Tun, Listener]:
    try:
        tun = create_tun(asked.interface) if asked.tun_fd is None else adopt_tun(asked.tun_fd)
    except KubespanError as error:
        raise ConfigError(f"Failed to create TUN device: {error}") from error
    try:
        listener = listen(tun.name) if asked.uapi_fd is None else adopt(asked.uapi_fd)
    except KubespanError as error:
        os.close(tun.descriptor)
        raise ConfigError(f"UAPI listen error: {error}") from error
    return tun, listener


def _goes_on_in_background(asked: Invocation) -> bool:
    """Fork, before there is any thread. True in the process that goes on."""
    try:
        if os.fork():
            # Not sys.exit: the device and the socket are the other process's to close.
            os._exit(0)
    except OSError as error:
        raise ConfigError(f"Failed to daemonize: {error}") from error
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2) if not asked.keeps_output else (0,):
        os.dup2(null, stream)
    os.close(null)
    return True


def _log(interface: str, level: int) -> logging.Logger:
    """Return a log whose lines look like wireguard-go's, on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        logging.Formatter(
            f"%(levelname)s: ({interface}) %(asctime)s %(message)s", datefmt="%Y/%m/%d %H:%M:%S"
        )
    )
    log = logging.getLogger("kubespan")
    log.addHandler(handler)
    log.setLevel(level)
    return log


if __name__ == "__main__":
    sys.exit(main())
