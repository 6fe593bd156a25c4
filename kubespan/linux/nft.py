"""Runs the program `nft`, which loads a whole set of nftables commands as one transaction.

A child process of a few milliseconds, awaited on whatever event loop there is, in the network
namespace of the calling thread. man 8 nft, man 5 libnftables-json.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from asyncio.subprocess import PIPE, Process
from errno import EINVAL, ETIMEDOUT, errorcode
from typing import Any, BinaryIO, Final

from kubespan.linux.nftables import Name, Ruleset
from kubespan.model.errors import ConfigError, SystemFault

OLDEST: Final = (0, 9, 3)
"""The first nft whose JSON has all that is used here."""

TIMEOUT: Final = 30.0
"""Seconds after which it is not waited for any more."""

MFD_NOEXEC_SEAL: Final = 0x8
"""Nothing in the file will ever be run; some hosts take no other files in memory."""

SYSTEM_FOLDERS: Final = ("/usr/sbin", "/sbin")
"""Where it is looked for besides the path, which ordinary users have without these."""

NO_JSON: Final = "JSON support not compiled"
ADVICE: Final = "install nftables, 0.9.3 or newer, with JSON (Debian, Ubuntu: apt install nftables)"


class NftFault(SystemFault):
    """nft refused; `said` is its own first line about it."""

    def __init__(self, operation: str, said: str) -> None:
        super().__init__(operation, errno_of(said))
        self.said = said

    def __str__(self) -> str:
        return f"{self.operation}: {self.said}"


async def require_nft() -> str:
    """Return the version of nft. Raises ConfigError where none is that can be used."""
    version = parse_version(await _run("--version"))
    if version < OLDEST:
        raise ConfigError(f"nft {'.'.join(map(str, version))} is too old; {ADVICE}")
    await list_tables()
    return ".".join(map(str, version))


async def load(commands: Ruleset) -> None:
    """Let the kernel take all commands, or none. Raises SystemFault, ConfigError without nft."""
    await _run("-j", "-f", "-", stdin=json.dumps(commands).encode())


async def list_table(table: Name) -> Ruleset:
    """Return all of one table. Raises as `load` does, with ENOENT where there is none."""
    return _parsed(await _run("-j", "list", "table", table["family"], table["name"]))


async def list_tables() -> Ruleset:
    """Return the names of all tables. Raises as `load` does."""
    return _parsed(await _run("-j", "list", "tables"))


def parse_version(text: str) -> tuple[int, ...]:
    """Return the version out of what `nft --version` prints; zeros for what is none."""
    found = re.search(r"\bv(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in found.groups()) if found else (0, 0, 0)


def errno_of(said: str) -> int:
    """Return the error number that the end of a line of nft's means; EINVAL for any other."""
    return next((code for code in errorcode if said.endswith(os.strerror(code))), EINVAL)


async def _run(*words: str, stdin: bytes = b"") -> str:
    operation = f"nft {' '.join(words)}"
    process = await _started(words, stdin)
    try:
        async with asyncio.timeout(TIMEOUT):
            output, errors = await process.communicate()
    except TimeoutError:
        raise SystemFault(operation, ETIMEDOUT) from None
    finally:
        await _ended(process)
    if process.returncode != 0:
        raise _fault(operation, errors.decode(errors="replace"), process.returncode)
    return output.decode(errors="replace")


async def _started(words: tuple[str, ...], stdin: bytes) -> Process:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS))
    program = shutil.which("nft", path=path)
    if program is None:
        raise ConfigError(f"there is no nft, which steers packets into the mesh; {ADVICE}")
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        with _memory(stdin) as file:
            return await asyncio.create_subprocess_exec(
                program, *words, stdin=file, stdout=PIPE, stderr=PIPE, env=environment
            )
    except OSError as error:
        raise SystemFault("start nft", error.errno or 0) from error


def _memory(content: bytes) -> BinaryIO:
    """Return a file without a name. nft opens its input anew, which a loop's own pipe is not for.

    The pipes of uvloop are sockets, and a socket cannot be opened.
    """
    try:
        descriptor = os.memfd_create("nft", os.MFD_CLOEXEC | MFD_NOEXEC_SEAL)
    except OSError as error:
        if error.errno != EINVAL:
            raise
        descriptor = os.memfd_create("nft", os.MFD_CLOEXEC)  # Linux before 6.3
    file = os.fdopen(descriptor, "w+b")
    file.write(content)
    file.seek(0)
    return file


async def _ended(process: Process) -> None:
    """Leave nothing running, also when whoever waited was cancelled."""
    if process.returncode is None:
        process.kill()
        await process.wait()


def _fault(operation: str, said: str, code: int | None) -> Exception:
    if NO_JSON in said:
        return ConfigError(f"this nft knows no JSON; {ADVICE}")
    lines = [line for line in said.splitlines() if line.strip()]
    return NftFault(
        operation, lines[0].strip() if lines else f"it ended with {code}, saying nothing"
    )


def _parsed(text: str) -> Ruleset:
    listing: dict[str, Any] = json.loads(text) if text.strip() else {"nftables": []}
    return {"nftables": listing["nftables"]}
