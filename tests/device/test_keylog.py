"""The key log file: its format, its mode, and what happens when it cannot be had."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

import pytest

from kubespan.device.keylog import KeyLog
from kubespan.model.errors import SystemFault
from kubespan.model.keys import PresharedKey, PrivateKey

LOCAL = PrivateKey(bytes(range(32)))
REMOTE = PrivateKey(bytes(range(32, 64))).public_key
EPHEMERAL = PrivateKey(bytes(range(64, 96)))
PRESHARED = PresharedKey(bytes(range(96, 128)))


def test_a_record_is_four_lines_in_the_order_the_dissector_needs(tmp_path: Path) -> None:
    log = KeyLog(tmp_path / "keys")
    log.record(LOCAL, REMOTE, EPHEMERAL, PRESHARED)
    log.close()
    assert (tmp_path / "keys").read_text() == (
        f"LOCAL_STATIC_PRIVATE_KEY = {LOCAL.base64()}\n"
        f"REMOTE_STATIC_PUBLIC_KEY = {REMOTE.base64()}\n"
        f"LOCAL_EPHEMERAL_PRIVATE_KEY = {EPHEMERAL.base64()}\n"
        f"PRESHARED_KEY = {PRESHARED.base64()}\n"
    )


def test_records_are_added_to_what_is_there(tmp_path: Path) -> None:
    for _ in range(2):
        log = KeyLog(tmp_path / "keys")
        log.record(LOCAL, REMOTE, EPHEMERAL, PRESHARED)
        log.close()
    assert len((tmp_path / "keys").read_text().splitlines()) == 8


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    KeyLog(tmp_path / "keys").close()
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o600


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "keys").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SystemFault) as caught:
        KeyLog(tmp_path / "keys")
    assert caught.value.errno == errno.ELOOP
    assert not (tmp_path / "elsewhere").exists()


def test_the_warning_names_the_file_and_no_key(tmp_path: Path) -> None:
    log = KeyLog(tmp_path / "keys")
    log.record(LOCAL, REMOTE, EPHEMERAL, PRESHARED)
    assert str(tmp_path / "keys") in log.warning
    assert LOCAL.base64() not in log.warning
    log.close()


def test_a_full_disk_loses_the_lines_and_nothing_else() -> None:
    log = KeyLog(Path("/dev/full"))
    log.record(LOCAL, REMOTE, EPHEMERAL, PRESHARED)
    log.close()
