"""What the acts of the demonstration share: hosts in network namespaces, and telling a story.

Programs are started so that they die with this process; whatever is made is made inside namespaces
that `tools/demo` made. Uses the standard library and the system's tools only.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMMAND_TIMEOUT = 60.0


class FailedError(Exception):
    """A step did not do what it should; the message says which and what was seen."""


def run(*words: str, stdin: str = "") -> str:
    """Run a program to its end and return what it printed."""
    done = subprocess.run(
        words, input=stdin, capture_output=True, text=True, timeout=COMMAND_TIMEOUT, check=False
    )
    if done.returncode != 0:
        said = (done.stderr + done.stdout).strip()
        raise FailedError(f"`{' '.join(words)}` ended with {done.returncode}: {said}")
    return done.stdout


def inside(namespace: str, *words: str) -> tuple[str, ...]:
    """Give the command line that runs a program on a host and ends it when we end."""
    return ("setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", namespace, *words)


def tell(step: str, what: str) -> None:
    """Print one line of the story."""
    print(f"  {step:<22}{what}", flush=True)


def show_log(log: Path) -> None:
    """Print the end of what a program said, for whoever has to find out why."""
    if lines := log.read_text(errors="replace").splitlines():
        print(f"\n  {log.stem} said:", *lines[-15:], sep="\n    ", file=sys.stderr)
