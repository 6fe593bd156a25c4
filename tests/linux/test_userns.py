"""User namespaces: whose the network is, seen from inside one and from outside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kubespan.linux import userns
from kubespan.linux.userns import owns_network
from tests.peers import leave_out, need

ASK = "from kubespan.linux.userns import owns_network; print(owns_network())"


def test_outside_it_is_ours() -> None:
    assert owns_network()


def test_where_nobody_can_say_it_is_taken_for_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without /proc, and with a kernel that does not know the question, as of any other file."""
    monkeypatch.setattr(userns, "NETWORK", str(tmp_path / "none"))
    assert owns_network()
    (tmp_path / "file").touch()
    monkeypatch.setattr(userns, "NETWORK", str(tmp_path / "file"))
    assert owns_network()


@pytest.mark.parametrize(("flags", "owns"), [("-Ur", "False"), ("-U", "False"), ("-Urn", "True")])
def test_inside_it_is_ours_if_it_was_made_there(flags: str, owns: str) -> None:
    need("unshare")
    if subprocess.run(("unshare", flags, "true"), capture_output=True, check=False).returncode:
        leave_out("user namespaces are forbidden here")
    words = ("unshare", flags, sys.executable, "-c", ASK)
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip() == owns
