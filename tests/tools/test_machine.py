"""What tools/demo and tools/test do to the machine before anything else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.peers import REPOSITORY


@pytest.mark.parametrize("is_dangling", [False, True])
def test_environment_of_another_checkout_is_left_alone(tmp_path: Path, is_dangling: bool) -> None:
    """Worktrees may share one by a link, and making it anew would empty it under the others."""
    other, here = tmp_path / "other", tmp_path / "here"
    kept = other / "bin" / "kept"
    here.mkdir()
    (here / "pyproject.toml").touch()
    (here / "setup.py").touch()
    if not is_dangling:
        kept.parent.mkdir(parents=True)
        kept.write_text("kept")
    (here / ".venv").symlink_to(other)
    made = subprocess.run(
        ("bash", "-ec", f'. "{REPOSITORY}/tools/machine.sh"; make_environment ""'),
        cwd=here,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert made.returncode == 1
    assert ".venv is a link" in made.stderr
    assert kept.exists() != is_dangling
    assert other.exists() != is_dangling
