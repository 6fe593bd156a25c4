"""The systemd unit: it is well-formed, and systemd itself finds it hardly exposed."""

from __future__ import annotations

import re
import subprocess

from tests.peers import REPOSITORY, need

UNIT = REPOSITORY / "packaging" / "kubespan.service"


def analyze(*words: str) -> str:
    done = subprocess.run(
        ("systemd-analyze", *words, str(UNIT)), capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_the_service_is_hardly_exposed() -> None:
    need("systemd-analyze")
    found = re.search(
        r"Overall exposure level.*: (\d+[.]\d+)", analyze("security", "--offline=true")
    )
    assert found is not None
    assert float(found[1]) < 3


def test_every_setting_is_one() -> None:
    need("systemd-analyze")
    complaints = analyze("verify", "--man=no").splitlines()
    # The program is where the README puts it, which is not on this machine.
    assert [line for line in complaints if "is not executable" not in line] == []
