"""Failures: one line, and an exit code by which a script can tell what it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kubespan.api.refusal import Reason, Refused
from kubespan.cli import main
from kubespan.cli.failure import Failure, asking
from tests.cli.processes import HOME


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.CONDITION, 1),
        (Reason.WRONG, 2),
        (Reason.NOT_RUNNING, 3),
        (Reason.NOT_PERMITTED, 4),
        (Reason.TIMED_OUT, 5),
        (Reason.BUG, 70),
    ],
)
def test_exit_codes(reason: Reason, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Failure) as caught, asking():
        raise Refused(reason, "what it was")
    assert caught.value.exit_code == code
    caught.value.show()
    assert capsys.readouterr().err == "kubespan: what it was\n"


@pytest.mark.parametrize("command", [("get", "members"), ("status",), ("wait",)])
def test_no_node_is_one_line(
    command: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KUBESPAN_SOCKET", str(tmp_path / "none"))
    assert main.main(command) == 3
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith("kubespan: no node is running, for nobody answers on ")


def test_nobody_who_reads_is_the_end_of_it() -> None:
    program = (
        "import click, sys; from kubespan.cli.failure import asking\n"
        "@click.command()\n"
        "def talk():\n"
        "    with asking():\n"
        "        while True: click.echo(4096 * str())\n"
        "sys.exit(talk(standalone_mode=False))\n"
    )
    command = f'"{sys.executable}" -c "{program}" | head -c 1'
    done = subprocess.run(
        ["sh", "-c", command], cwd=HOME, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("\n", "")
