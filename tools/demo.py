"""The demonstration: a tunnel between two hosts, and a mesh of four.

Runs inside namespaces that `tools/demo` made for it, where a fresh /run hides the machine's own; it
makes named network namespaces there and nothing outside. Programs run in the foreground and
die with this process, so nothing can outlive it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from tools import demo_mesh, demo_tunnel
from tools.demo_stage import FailedError, run, show_log
from tools.demo_tunnel import Host

ACTS = ("tunnel", "mesh")
Act: TypeAlias = Callable[[Path], None]


def ours() -> str:
    """Find kubespan-wg beside the interpreter that runs this."""
    return str(Path(sys.executable).with_name("kubespan-wg"))


def neighbour() -> str:
    """Find the newest wireguard-go: one that tests have built, the system's, else our own."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    # Each is in a folder of its version, which begins with its date.
    built = max((cache / "kubespan").glob("wireguard-go-v*/wireguard"), default=None)
    return str(built or shutil.which("wireguard-go") or ours())


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="tools/demo", description="A tunnel, and a mesh.")
    parser.add_argument("--act", choices=ACTS, help="play only this one")
    parser.add_argument("--seconds", type=int, default=3, help="length of each TCP transfer")
    parser.add_argument("--left", default=ours(), metavar="PROGRAM", help="instead of kubespan-wg")
    parser.add_argument("--right", default=neighbour(), metavar="PROGRAM", help="the other side")
    return parser.parse_args(arguments)


def interrupt(number: int, _frame: object) -> None:
    """Turn every signal that asks us to stop into the one that Python unwinds for."""
    raise KeyboardInterrupt(number)


def perform(act: Act) -> bool:
    """Play one act and say whether all of it worked; if not, print what did not and why."""
    # In our own /run, so that no key stays on this machine even if we are killed.
    with tempfile.TemporaryDirectory(dir="/run") as directory:
        try:
            act(Path(directory))
        except FailedError as error:
            print(f"\nThis did not work: {error}", file=sys.stderr)
            for log in sorted(Path(directory).glob("*.log")):
                show_log(log)
            return False
    return True


def main(arguments: list[str]) -> int:
    """Tell the whole story; the exit code says whether all of it worked."""
    options = parse(arguments)
    left = Host("left", "wg0", options.left, "192.0.2.1", "10.0.0.1", "fd00::1")
    right = Host("right", "wg1", options.right, "192.0.2.2", "10.0.0.2", "fd00::2")
    tunnel = partial(demo_tunnel.play, left, right, options.seconds)
    acts: dict[str, Act] = {"tunnel": tunnel, "mesh": demo_mesh.play}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        run("mount", "-t", "tmpfs", "tmpfs", "/run")
        worked = all(perform(act) for name, act in acts.items() if options.act in {None, name})
    except KeyboardInterrupt:
        print("\nStopped; nothing is left behind.", file=sys.stderr)
        return 130
    if worked:
        print("\nAll of it worked.")
    return 0 if worked else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
