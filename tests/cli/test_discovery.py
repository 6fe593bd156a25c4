"""The group of discovery's commands: there, listed, and imported only when asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kubespan.cli.discovery import COMMANDS
from kubespan.cli.main import main
from tests.peers import REPOSITORY


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_table_says(name: str) -> None:
    assert COMMANDS[name].load().name == name


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discovery", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)


def test_group_alone_is_quick_to_import() -> None:
    heavy = "import kubespan.cli.discovery, sys; print('grpc' in sys.modules)"
    done = subprocess.run(
        (sys.executable, "-c", heavy), cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
