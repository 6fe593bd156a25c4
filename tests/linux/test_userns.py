"""User namespaces: whose the network is, seen from inside one and from outside."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kubespan.linux.userns import owns_network
from tests.peers import leave_out, need

ASK = "from kubespan.linux.userns import owns_network; print(owns_network())"


def test_outside_it_is_ours() -> None:
    assert owns_network()


@pytest.mark.parametrize(("flags", "owns"), [("-Ur", "False"), ("-U", "False"), ("-Urn", "True")])
def test_inside_it_is_ours_if_it_was_made_there(flags: str, owns: str) -> None:
    need("unshare")
    if subprocess.run(("unshare", flags, "true"), capture_output=True, check=False).returncode:
        leave_out("user namespaces are forbidden here")
    words = ("unshare", flags, sys.executable, "-c", ASK)
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip() == owns
