"""The command `kubespan` itself: what it lists, what it imports, and how it ends."""

from __future__ import annotations

import errno
import subprocess
import sys
from importlib.util import find_spec

import click
import pytest

import kubespan
from kubespan.cli import main as module
from kubespan.cli.main import COMMANDS, Lazy, LazyGroup, exit_code, main
from kubespan.config.mistake import ConfigMistakes, Mistake, Place
from kubespan.model.drop import DropReason
from kubespan.model.errors import (
    ConfigError,
    InternalError,
    KubespanError,
    ProtocolError,
    SystemFault,
)
from tests.peers import REPOSITORY

PRESENT = {name: lazy for name, lazy in COMMANDS.items() if find_spec(lazy.place.partition(":")[0])}
HEAVY = ("pydantic", "grpc", "aiohttp", "pyroute2")


def test_there_are_commands() -> None:
    assert {"config", "gen"} <= PRESENT.keys()


@pytest.mark.parametrize("name", PRESENT)
def test_a_command_is_listed_as_it_describes_itself(name: str) -> None:
    assert COMMANDS[name].load().get_short_help_str(100) == COMMANDS[name].summary


@pytest.mark.parametrize("arguments", [["--help"], ["-h"]])
def test_help_lists_every_command(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said and lazy.summary in said for name, lazy in COMMANDS.items())


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"kubespan, version {kubespan.__version__}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["--nonsense"], ["config", "nonsense"], ["config", "check"]]
)
def test_wrong_usage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.delenv("KUBESPAN_CONFIG", raising=False)
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Usage: kubespan" in said.err


def test_a_group_lists_its_own_commands_beside_those_that_wait() -> None:
    waiting = Lazy("no.such.module:thing", "Wait.")
    group = LazyGroup("g", lazy={"waits": waiting}, commands=[click.Command("is", help="Be.")])
    context = click.Context(group)
    assert group.list_commands(context) == ["is", "waits"]
    assert "Be." in group.get_help(context)
    assert "Wait." in group.get_help(context)
    assert group.get_command(context, "nonsense") is None


def test_a_name_without_a_command_has_no_summary() -> None:
    class Forgetful(LazyGroup):
        def list_commands(self, ctx: click.Context) -> list[str]:
            return ["gone", *super().list_commands(ctx)]

    assert "gone" in Forgetful("g").get_help(click.Context(Forgetful("g")))


# ---- how it ends

MISTAKES = ConfigMistakes(
    "f", [Mistake(Place(1, 2), "a", "write b"), Mistake(Place(3, 4), "c", "write d")]
)
FAULTS: list[tuple[BaseException, int, str]] = [
    (ConfigError("write a"), 2, "kubespan: write a\n"),
    (MISTAKES, 2, "f:1:2: a: write b\nf:3:4: c: write d\n"),
    (SystemFault("open x", errno.EACCES), 4, "kubespan: open x: Permission denied\n"),
    (click.ClickException("write a"), 1, "Error: write a\n"),
    (click.Abort(), 130, ""),
    (KeyboardInterrupt(), 130, ""),
]


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    @click.command("fail")
    def fail() -> None:
        raise error

    monkeypatch.setitem(module.cli.commands, "fail", fail)


@pytest.mark.parametrize(("error", "code", "said"), FAULTS)
def test_what_went_wrong_is_said_on_stderr(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    failing(monkeypatch, error)
    assert main(["fail"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.lstrip("\n") == said


def test_a_bug_of_ours_is_told_with_its_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, ZeroDivisionError("no"))
    assert main(["fail"]) == 70
    said = capsys.readouterr().err
    assert said.startswith("Traceback ")
    assert said.endswith("ZeroDivisionError: no\nkubespan: this is a bug of ours\n")


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (3, 3), ("text", 0)])
def test_what_a_command_returns_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, returned: object, code: int
) -> None:
    monkeypatch.setitem(module.cli.commands, "end", click.Command("end", callback=lambda: returned))
    assert main(["end"]) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (SystemFault("x", errno.EPERM), 4),
        (SystemFault("x", errno.EACCES), 4),
        (SystemFault("x", errno.ENOSPC), 1),
        (InternalError("x"), 70),
        (ProtocolError(next(iter(DropReason))), 70),
    ],
)
def test_exit_codes(error: KubespanError, code: int) -> None:
    assert exit_code(error) == code


# ---- what it costs


@pytest.mark.parametrize("arguments", ["'--help'", "'gen', 'config'", "'--version'"])
def test_nothing_heavy_is_imported_for_what_is_light(arguments: str) -> None:
    program = (
        f"import sys; from kubespan.cli.main import main; assert main([{arguments}]) == 0;"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        (sys.executable, "-c", program),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "[]\n")
