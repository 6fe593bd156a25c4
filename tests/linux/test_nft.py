"""Running nft: it loads and lists in a namespace, and says plainly why it does not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from errno import EINVAL, ENOENT, EPERM, ETIMEDOUT
from pathlib import Path
from typing import Any

import pytest
import uvloop

from kubespan.linux import nft
from kubespan.linux.nftables import TABLE, has_everything, has_table, removal, ruleset
from kubespan.model.errors import ConfigError, SystemFault
from tests.linux.plans import PLAN
from tests.netns.namespace import Namespace
from tests.peers import need

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
Program = Callable[[str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Put a shell script in the place of nft."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def install(script: str) -> None:
        path = tmp_path / "nft"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return install


def in_loop(action: Callable[[], Awaitable[Any]], loop: Any = asyncio.new_event_loop) -> Any:
    async def main() -> Any:
        return await action()

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main())


@pytest.mark.netns
@pytest.mark.parametrize("loop", LOOPS)
def test_loading_and_listing(namespace: Namespace, loop: Any) -> None:
    need("nft")

    async def main() -> None:
        commands = ruleset(PLAN)
        await nft.load(commands)
        await nft.load(commands)
        assert has_everything(await nft.list_table(TABLE), commands)
        assert has_table(await nft.list_tables(), TABLE)
        for _ in range(2):
            await nft.load(removal(TABLE))
        assert not has_table(await nft.list_tables(), TABLE)
        with pytest.raises(nft.NftFault) as caught:
            await nft.list_table(TABLE)
        assert caught.value.errno == ENOENT

    namespace.inside(lambda: in_loop(main, loop))


@pytest.mark.netns
def test_what_is_refused_is_not_half_done(namespace: Namespace) -> None:
    need("nft")

    async def main() -> None:
        commands = ruleset(PLAN)["nftables"]
        broken = {"nftables": [*commands, {"delete": {"table": {"family": "ip", "name": "no"}}}]}
        with pytest.raises(nft.NftFault, match=r"nft -j -f -: .*No such file or directory"):
            await nft.load(broken)
        assert not has_table(await nft.list_tables(), TABLE)

    namespace.inside(lambda: in_loop(main))


@pytest.mark.netns
def test_the_nft_of_this_machine_will_do(namespace: Namespace) -> None:
    need("nft")
    version = namespace.inside(lambda: in_loop(nft.require_nft))
    assert nft.parse_version(f"v{version}") >= nft.OLDEST


def test_no_nft_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(nft, "SYSTEM_FOLDERS", ())
    with pytest.raises(ConfigError, match=r"there is no nft.*install nftables"):
        in_loop(nft.require_nft)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'nftables v0.9.2 (Scram)'", "nft 0.9.2 is too old; install nftables"),
        ("echo no version here", "nft 0.0.0 is too old"),
        (
            "[ $1 = --version ] && echo v1.0.6 || { echo JSON support not compiled >&2; exit 1; }",
            "knows no JSON; install nftables",
        ),
    ],
)
def test_an_nft_that_will_not_do(program: Program, script: str, said: str) -> None:
    program(script)
    with pytest.raises(ConfigError, match=said):
        in_loop(nft.require_nft)


@pytest.mark.parametrize(
    ("script", "errno", "said"),
    [
        ("echo; echo 'Error: Operation not permitted' >&2; exit 1", EPERM, "not permitted"),
        ("echo 'Error: syntax error' >&2; exit 1", EINVAL, "syntax error"),
        ("exit 3", EINVAL, "it ended with 3, saying nothing"),
    ],
)
def test_what_nft_says_is_passed_on(program: Program, script: str, errno: int, said: str) -> None:
    program(script)
    with pytest.raises(nft.NftFault, match=said) as caught:
        in_loop(nft.list_tables)
    assert caught.value.errno == errno


def test_a_program_that_cannot_be_started(program: Program, tmp_path: Path) -> None:
    program("")
    (tmp_path / "nft").write_text("no program at all\0")
    with pytest.raises(SystemFault, match="start nft"):
        in_loop(nft.list_tables)


def test_an_nft_that_never_ends(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nft, "TIMEOUT", 0.05)
    program("exec sleep 1000")
    with pytest.raises(SystemFault) as caught:
        in_loop(nft.list_tables)
    assert caught.value.errno == ETIMEDOUT


def test_being_cancelled_ends_it(program: Program, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    os.mkfifo(pid)
    program(f"echo $$ > {pid}; exec sleep 1000")

    async def main() -> str:
        listing = asyncio.ensure_future(nft.list_tables())
        started = await asyncio.to_thread(pid.read_text)
        listing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listing
        return started.strip()

    assert not Path("/proc", in_loop(main)).exists()


def test_a_kernel_that_knows_no_seal(monkeypatch: pytest.MonkeyPatch, program: Program) -> None:
    make = os.memfd_create

    def before_6_3(name: str, flags: int) -> int:
        if flags & nft.MFD_NOEXEC_SEAL:
            raise OSError(EINVAL, "flags")
        return make(name, flags)

    monkeypatch.setattr(os, "memfd_create", before_6_3)
    program("cat >&2; exit 1")
    with pytest.raises(nft.NftFault, match="nftables"):
        in_loop(lambda: nft.load(removal(TABLE)))


def test_no_room_for_the_commands(monkeypatch: pytest.MonkeyPatch, program: Program) -> None:
    def full(name: str, flags: int) -> int:
        raise OSError(EPERM, "no")

    monkeypatch.setattr(os, "memfd_create", full)
    program("")
    with pytest.raises(SystemFault, match="start nft"):
        in_loop(nft.list_tables)
