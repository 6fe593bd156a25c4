"""The official discovery client as a program: our few lines around it, built by Go, once a machine.

Only `discovery_peer/` is ours and in the tree. Go fetches the library, at the versions that go.mod
names and with the sums that go.sum names, and the program stays in the cache in the home folder,
under a name that changes with the sources and with Go. From then on nothing is fetched.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from functools import cache
from pathlib import Path

from tests.peers import BUILD_TIMEOUT, leave_out, need

SOURCES = Path(__file__).with_name("discovery_peer")

# The Go that is here or none, whatever else this machine's Go is told to do. Without C, the program
# is the same on a machine that has no compiler.
ENVIRONMENT = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
ENVIRONMENT |= {"CGO_ENABLED": "0"}


def discovery_peer() -> Path:
    """Return the built program; without a Go that can build it, the test is left out by name."""
    need("go")
    program, complaint = _built()
    if complaint:
        leave_out(f"needs a Go that builds the official discovery client: {complaint}")
    return program


@cache
def _built() -> tuple[Path, str]:
    """Build it unless it is there, with one process waiting for the other; or say why not."""
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubespan"
    folder = cached / f"discovery-peer-{_fingerprint()}"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "discovery_peer"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return program, "" if program.exists() else _build(program)


def _fingerprint() -> str:
    """Return what changes when the program would."""
    digest = hashlib.sha256(_go("version").stdout.encode())
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def _build(program: Path) -> str:
    """Leave the program there, whole or not at all; return the last word of why not."""
    unfinished = program.with_suffix(".unfinished")
    done = _go("build", "-trimpath", "-buildvcs=false", "-o", str(unfinished), ".")
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or ["go build says nothing"])[-1]
    unfinished.replace(program)
    return ""


def _go(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ("go", *words),
        cwd=SOURCES,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT,
        check=False,
    )
