"""`kubespan gen config`: what it makes, where it puts it, and what it never touches."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from kubespan.cli.gen import gen, write_secret
from kubespan.config.read import parse_config
from kubespan.model.config import NodeConfig
from kubespan.model.errors import ConfigError, SystemFault


def made(*arguments: str) -> NodeConfig:
    """Return what a new configuration means, as it is printed."""
    done = CliRunner().invoke(gen, ["config", *arguments], catch_exceptions=False)
    assert (done.exit_code, done.stderr) == (0, "")
    return parse_config(done.stdout, "t").config


def test_a_new_cluster() -> None:
    config = made()
    assert len(config.cluster_id) == 44
    assert config.cluster_secret is not None
    assert config.cluster_id != config.cluster_secret.base64()
    assert not config.kubespan.enabled
    assert [one.target for one in config.services] == ["discovery.talos.dev:443"]


def test_no_two_clusters_are_the_same() -> None:
    one, other = made(), made()
    assert one.cluster_id != other.cluster_id
    assert one.cluster_secret != other.cluster_secret


def test_kubespan_is_enabled_when_asked() -> None:
    assert made("--with-kubespan").kubespan.enabled


def test_other_services() -> None:
    services = made("--discovery", "http://h:3000", "--discovery", "https://i").services
    assert [(one.name, one.target, one.insecure) for one in services] == [
        ("default", "h:3000", True),
        ("default-2", "i:443", False),
    ]


def test_a_url_that_is_none() -> None:
    done = CliRunner().invoke(gen, ["config", "--discovery", "ftp://user:hush@h"])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "--discovery: a discovery service has http, https or grpc" in done.stderr
    assert "hush" not in done.stderr


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_a_file_that_only_its_owner_reads(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "new.yaml"
    former = os.umask(umask)
    try:
        done = CliRunner().invoke(gen, ["config", "-o", str(path)], catch_exceptions=False)
    finally:
        os.umask(former)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == f"kubespan: wrote {path}\n"
    assert path.stat().st_mode & 0o7777 == 0o600
    assert parse_config(path.read_text(), "t").config.cluster_secret is not None


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text("in use")
    with pytest.raises(ConfigError, match="exists and stays as it is"):
        CliRunner().invoke(gen, ["config", "-o", str(path)], catch_exceptions=False)
    assert path.read_text() == "in use"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(tmp_path / "elsewhere.yaml")
    with pytest.raises(ConfigError, match="exists"):
        write_secret(str(link), "x")
    assert not (tmp_path / "elsewhere.yaml").exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SystemFault) as raised:
        write_secret(str(tmp_path / "none" / "new.yaml"), "x")
    assert raised.value.errno == errno.ENOENT


def test_a_file_that_cannot_be_finished_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, mode: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "fchmod", refuse)
    with pytest.raises(SystemFault) as raised:
        write_secret(str(tmp_path / "new.yaml"), "x")
    assert raised.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []
