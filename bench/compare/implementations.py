"""Everything that can be compared, in one table, and how a name on the command line becomes a pair.

All of them keep wireguard-go's contract: `COMMAND -f IFNAME` makes the TUN device, serves
/var/run/wireguard/IFNAME.sock, and stays in the foreground. Another one is another line.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path

from bench.compare.processes import CommandFailed, run

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubespan"
CHECKOUT = Path(__file__).parents[2]
REFERENCE = "wireguard-go"
WIREGUARD_GO = "golang.zx2c4.com/wireguard"
PROXY_TIMEOUT = 20.0
GO_BUILD_TIMEOUT = 600.0


class Missing(Exception):
    """An implementation is not on this machine; the text says what to install."""


@dataclass(frozen=True, slots=True)
class Implementation:
    """One way to carry packets. `locate` gives the command that -f IFNAME is added to."""

    name: str
    about: str
    locate: Callable[[], list[str]] | None
    environment: Mapping[str, str] = field(default_factory=dict)
    version: Callable[[list[str]], str] = lambda command: _first_line([*command, "--version"])


@dataclass(frozen=True, slots=True)
class End:
    """One end of a tunnel: an implementation, ready to start, with its settings."""

    name: str
    command: tuple[str, ...] | None
    environment: Mapping[str, str]
    version: str


@dataclass(frozen=True, slots=True)
class Contender:
    """A row of the report: what runs on the sending end `a` and on the receiving end `b`."""

    name: str
    a: End
    b: End

    @property
    def is_tunnel(self) -> bool:
        """False for the bare link."""
        return self.a.command is not None


def contender(text: str) -> Contender:
    """The pair that `NAME[@KEY=VALUE...][:NAME[@KEY=VALUE...]]` means; one name is both ends.

    Raises Missing when an implementation is not there, and ValueError for an unknown name.
    """
    first, _, second = text.partition(":")
    a = _end(first)
    b = _end(second) if second else a
    if (a.command is None) != (b.command is None):
        raise ValueError(f"{text!r}: a bare link has no tunnel at the other end")
    return Contender(text, a, b)


def _end(text: str) -> End:
    name, *settings = text.split("@")
    if name not in IMPLEMENTATIONS:
        raise ValueError(f"unknown implementation {name!r}: one of {', '.join(IMPLEMENTATIONS)}")
    known = IMPLEMENTATIONS[name]
    if known.locate is None:
        return End(text, None, {}, "")
    command = known.locate()
    added = dict(setting.split("=", 1) for setting in settings)
    return End(text, tuple(command), {**known.environment, **added}, known.version(command))


def _kubespan() -> list[str]:
    """This checkout, whatever is installed elsewhere."""
    if not (CHECKOUT / "kubespan" / "cli" / "wg.py").exists():
        raise Missing("kubespan is not in this checkout")
    return [sys.executable, "-m", "kubespan.cli.wg"]


def _kubespan_version(command: list[str]) -> str:
    described = run(["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty"]).strip()
    return f"{_first_line([*command, '--version'])} ({described})"


def _on_path(program: str, package: str) -> Callable[[], list[str]]:
    def locate() -> list[str]:
        if (found := shutil.which(program)) is None:
            raise Missing(f"{program} is not installed: apt-get install {package}")
        return [found]

    return locate


def newest_wireguard_go() -> tuple[Path, str]:
    """The newest wireguard-go, asked for once a run; and why it is perhaps not, else "".

    Without an answer, or where that one does not build, it is the newest that was built before.
    Raises Missing when there is none.
    """
    found = _look_for_wireguard_go()
    if isinstance(found, Missing):
        raise Missing(str(found))
    return found


@cache
def _look_for_wireguard_go() -> tuple[Path, str] | Missing:
    """What there is, or why nothing is: to ask in vain may take its time, and is done once too."""
    try:
        version = _newest_version(WIREGUARD_GO)
        return _go_program("wireguard-go", WIREGUARD_GO, version, "wireguard"), ""
    except Missing as missing:
        # Go's versions of untagged commits begin with their date.
        built = max(CACHE.glob("wireguard-go-v*/wireguard"), default=None)
        if built is None:
            return missing
        reason = str(missing).splitlines()[0]
        note = f"perhaps not the newest wireguard-go: {reason}"
        print(note, file=sys.stderr)
        return built, note


def _newest_version(module: str) -> str:
    try:
        asked = ["go", "list", "-m", "-f", "{{.Version}}", f"{module}@latest"]
        return run(asked, timeout=PROXY_TIMEOUT).strip()
    except CommandFailed as error:
        raise Missing(str(error)) from error


def _newest_command() -> list[str]:
    return [str(newest_wireguard_go()[0])]


def _newest_go_version(command: list[str]) -> str:
    _, note = newest_wireguard_go()
    return _go_version(command) + (f"; {note}" if note else "")


def _go_install(name: str, module: str, version: str, program: str) -> Callable[[], list[str]]:
    return lambda: [str(_go_program(name, module, version, program))]


def _go_program(name: str, module: str, version: str, program: str) -> Path:
    folder = CACHE / f"{name}-{version}"
    install = ["go", "install", f"{module}@{version}"]
    return _build_once(folder, program, install, {"GOBIN": str(folder)}, GO_BUILD_TIMEOUT)


def _cargo_install(crate: str, version: str, program: str) -> Callable[[], list[str]]:
    def locate() -> list[str]:
        folder = CACHE / f"{crate}-{version}"
        install = ["cargo", "install", "--root", str(folder), f"{crate}@{version}"]
        built = _build_once(folder, f"bin/{program}", install, {})
        return [str(built), "--disable-drop-privileges"]

    return locate


def _build_once(
    folder: Path,
    program: str,
    install: list[str],
    environment: Mapping[str, str],
    timeout: float | None = None,
) -> Path:
    """Built into the cache, where the tests look too; delete it there to build it anew."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / program).exists():
            _build(folder, install, environment, timeout)
    return folder / program


def _build(
    folder: Path, install: list[str], environment: Mapping[str, str], timeout: float | None
) -> None:
    if shutil.which(install[0]) is None:
        raise Missing(f"{install[-1]} has to be built, and {install[0]} is not installed")
    print(f"building {install[-1]} into {folder}", file=sys.stderr)
    settings = (f"{name}={value}" for name, value in environment.items())
    try:
        run(["env", *settings, *install], timeout=timeout)
    except CommandFailed as error:
        raise Missing(str(error)) from error


def _naive() -> list[str]:
    return [sys.executable, "-m", "bench.compare.naive"]


def _python_version(_command: list[str]) -> str:
    return f"CPython {sys.version.split()[0]}, cryptography {metadata.version('cryptography')}"


def _go_version(command: list[str]) -> str:
    """The module version inside the binary: --version of wireguard-go lags behind the code."""
    if (go := shutil.which("go")) is None:
        return _first_line([*command, "--version"])
    lines = [line.split() for line in run([go, "version", "-m", command[0]]).splitlines()]
    compiler = lines[0][-1]
    return next(f"{line[2]} ({compiler})" for line in lines if line[:1] == ["mod"])


def _first_line(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    return next(iter(done.stdout.splitlines()), "version unknown")


IMPLEMENTATIONS = {
    known.name: known
    for known in (
        Implementation(
            "kubespan",
            "this checkout",
            _kubespan,
            {"PYTHONPATH": str(CHECKOUT), "LOG_LEVEL": "error"},
            _kubespan_version,
        ),
        Implementation(
            "wireguard-go",
            "the newest wireguard-go",
            _newest_command,
            {"LOG_LEVEL": "error"},
            _newest_go_version,
        ),
        Implementation(
            "wireguard-go-packaged",
            "the distribution's wireguard-go, years old in Debian",
            _on_path("wireguard-go", "wireguard-go"),
            {"LOG_LEVEL": "error"},
        ),
        Implementation(
            "tailscale",
            "Tailscale's fork of wireguard-go",
            _go_install(
                "tailscale-wireguard-go",
                "github.com/tailscale/wireguard-go",
                # What tailscale.com v1.104.5 requires, the newest of 2 November 2026.
                "v0.0.0-20260928213032-417aef361226",
                "wireguard-go",
            ),
            {"LOG_LEVEL": "error"},
            _go_version,
        ),
        Implementation(
            "gotatun",
            "Mullvad's WireGuard in Rust, a successor of boringtun",
            _cargo_install("gotatun-cli", "0.10.2", "gotatun"),
            {"WG_LOG_LEVEL": "error", "WG_LOG_FILE": os.devnull},
        ),
        Implementation(
            "boringtun",
            "Cloudflare's WireGuard in Rust",
            _cargo_install("boringtun-cli", "0.7.1", "boringtun-cli"),
            {"WG_LOG_LEVEL": "error"},
        ),
        Implementation(
            "naive",
            "two Python threads, a packet at a time: nobody should use it",
            _naive,
            {"PYTHONPATH": str(CHECKOUT)},
            _python_version,
        ),
        Implementation("veth", "the bare link, no tunnel", None),
    )
}
DEFAULT = ("kubespan", REFERENCE, "tailscale", "gotatun", "boringtun", "naive", "veth")
