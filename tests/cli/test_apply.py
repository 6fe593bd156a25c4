"""`kubespan apply`: what changes is said, and nothing else is done."""

from __future__ import annotations

import pytest

from tests.daemon.conftest import lone
from tests.daemon.lone import CONFIG, LoneNode

__all__ = ["lone"]  # a fixture is known by its name

pytestmark = pytest.mark.netns


def test_what_changes_is_said(lone: LoneNode) -> None:
    lone.start()
    file = lone.folder / "other.yaml"
    file.write_text(CONFIG.replace("lonely", "renamed"))
    assert lone.run("apply", "-f", str(file), "--dry-run").stdout == "would change: hostname\n"
    assert lone.status()["self"]["name"] == "lonely"
    assert lone.run("apply", "-f", str(file)).stdout == "changed: hostname\n"
    assert lone.status()["self"]["name"] == "renamed"
    assert lone.run("apply", "-f", str(file)).stdout == "nothing changes\n"
    refused = lone.run("apply", "-f", str(lone.folder / "missing.yaml"))
    assert (refused.returncode, refused.stdout) == (1, "")


def test_a_mistake_is_said_with_its_line(lone: LoneNode) -> None:
    lone.start()
    file = lone.folder / "wrong.yaml"
    file.write_text(CONFIG.replace("enabled: true", "enabled: maybe"))
    refused = lone.run("apply", "-f", str(file))
    assert refused.returncode == 2
    assert ":8:10:" in refused.stderr


def test_nobody_is_there(lone: LoneNode) -> None:
    assert lone.run("apply", "-f", str(lone.file)).returncode == 3
