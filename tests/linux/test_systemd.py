"""What a service manager hears."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

import pytest

from kubespan.linux.systemd import VARIABLE, notify


@pytest.mark.parametrize("is_abstract", [False, True])
def test_manager_hears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_abstract: bool) -> None:
    path = f"@{secrets.token_hex()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path.replace("@", "\0"))
        manager.settimeout(10)
        monkeypatch.setenv(VARIABLE, path)
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("path", [None, "", "relative", "/nobody/listens/here"])
def test_nobody_to_tell_is_no_error(path: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if path is not None:
        monkeypatch.setenv(VARIABLE, path)
    notify("READY=1")
