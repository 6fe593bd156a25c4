"""The demonstration: a tunnel between two hosts, and hosts that find each other.

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
from pathlib import Path

from tools import demo_tunnel
from tools.demo_stage import FailedError, run, show_log
from tools.demo_tunnel import Host


def ours() -> str:
    """Find kubespan-wg beside the interpreter that runs this."""
    return str(Path(sys.executable).with_name("kubespan-wg"))


def neighbour() -> str:
    """Find the newest wireguard-go: one that tests have built, the system's, else our own."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = cache / "kubespan" / "wireguard-go-latest" / "wireguard"
    if os.access(built, os.X_OK):
        return str(built)
    return shutil.which("wireguard-go") or ours()


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="tools/demo", description="Two hosts and a tunnel.")
    parser.add_argument("--seconds", type=int, default=3, help="length of each TCP transfer")
    parser.add_argument("--left", default=ours(), metavar="PROGRAM", help="instead of kubespan-wg")
    parser.add_argument("--right", default=neighbour(), metavar="PROGRAM", help="the other side")
    return parser.parse_args(arguments)


def interrupt(number: int, _frame: object) -> None:
    """Turn every signal that asks us to stop into the one that Python unwinds for."""
    raise KeyboardInterrupt(number)


def main(arguments: list[str]) -> int:
    """Tell the whole story; the exit code says whether all of it worked."""
    options = parse(arguments)
    left = Host("left", "wg0", options.left, "192.0.2.1", "10.0.0.1", "fd00::1")
    right = Host("right", "wg1", options.right, "192.0.2.2", "10.0.0.2", "fd00::2")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    with tempfile.TemporaryDirectory(prefix="kubespan-demo-") as directory:
        try:
            run("mount", "-t", "tmpfs", "tmpfs", "/run")
            demo_tunnel.play(left, right, options.seconds, Path(directory))
        except KeyboardInterrupt:
            print("\nStopped; nothing is left behind.", file=sys.stderr)
            return 130
        except FailedError as error:
            print(f"\nThis did not work: {error}", file=sys.stderr)
            for host in (left, right):
                show_log(host.name, host.log)
            return 1
        finally:
            left.kill()
            right.kill()
    print("\nAll of it worked.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
