"""Certificates to trust: a file that is checked, the system's own, and none."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubespan.discovery.client.authorities import Authorities
from kubespan.model.errors import ConfigError
from tests.discovery.authority import certificate, make_key


@pytest.fixture
def pem() -> bytes:
    return certificate(make_key())


def test_named_file_is_read_anew(tmp_path: Path, pem: bytes) -> None:
    path = tmp_path / "ca.crt"
    path.write_bytes(pem)
    authorities = Authorities(path)
    assert authorities.read() == pem
    renewed = certificate(make_key())
    path.write_bytes(renewed)
    assert authorities.read() == renewed
    path.write_text("torn")
    assert authorities.read() == renewed
    path.unlink()
    assert authorities.read() == renewed


def test_file_without_certificates_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "ca.crt"
    with pytest.raises(ConfigError, match=r"ca\.crt: No such file or directory; name a PEM file"):
        Authorities(path)
    path.write_text("hello")
    with pytest.raises(ConfigError, match="holds no certificate; it must have a part that begins"):
        Authorities(path)


def test_first_bundle_that_can_be_read_is_the_system_s(tmp_path: Path, pem: bytes) -> None:
    path = tmp_path / "bundle"
    path.write_bytes(pem)
    assert Authorities(bundles=(tmp_path / "missing", path)).read() == pem
    assert Authorities(bundles=()).read() is None
