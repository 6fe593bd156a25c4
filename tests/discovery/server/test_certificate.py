"""Certificate files, good and bad, and what changes in them. `test_server` shakes the hands."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from kubespan.discovery.server.certificate import CertificateFiles, load_pair
from kubespan.model.errors import ConfigError
from tests.discovery.authority import SigningKey, certificate, make_key, private, write_pair


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-256", "P-384", "RSA"],
)
def test_pair_is_read(tmp_path: Path, key: SigningKey) -> None:
    (tmp_path / "c").write_bytes(certificate(key) + certificate(make_key()))
    (tmp_path / "k").write_bytes(private(key))
    pair = load_pair(tmp_path / "c", tmp_path / "k")
    assert pair.chain.count(b"BEGIN CERTIFICATE") == 2
    assert "PRIVATE" not in repr(pair)


GOOD = make_key()
PLAIN, GOOD_KEY = certificate(GOOD), private(GOOD)
ED25519, P521 = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP521R1())


@pytest.mark.parametrize(
    ("chain", "key", "said"),
    [
        (None, GOOD_KEY, "--tls-cert .*c cannot be read: No such file"),
        (PLAIN, None, "--tls-key .*k cannot be read: No such file"),
        (b"", GOOD_KEY, "--tls-cert .*c holds no certificate"),
        (GOOD_KEY, GOOD_KEY, "--tls-cert .*c holds no certificate"),
        (PLAIN[:-40], GOOD_KEY, "--tls-cert .*c holds no certificate"),
        (PLAIN, b"", "--tls-key .*k holds no private key"),
        (PLAIN, PLAIN, "--tls-key .*k holds no private key"),
        (PLAIN, private(GOOD, b"secret"), "--tls-key .*k holds no private key .* passphrase"),
        (PLAIN, private(make_key()), "--tls-key .*k is not the key of --tls-cert .*c"),
        (certificate(ED25519), private(ED25519), "--tls-key .*k is of a kind"),
        (certificate(P521), private(P521), "--tls-key .*k is of a kind"),
    ],
)
def test_pair_that_cannot_be_used_is_the_operators_mistake(
    tmp_path: Path, chain: bytes | None, key: bytes | None, said: str
) -> None:
    for name, content in (("c", chain), ("k", key)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        CertificateFiles(tmp_path / "c", tmp_path / "k")


def test_files_that_did_not_change_change_nothing(tmp_path: Path) -> None:
    files = CertificateFiles(*write_pair(tmp_path))
    before = files.pair
    assert not files.look()
    # Written again with the same content: a new time, and the same pair.
    (tmp_path / "tls.crt").write_bytes((tmp_path / "tls.crt").read_bytes())
    assert not files.look()
    assert files.pair is before


def test_new_pair_is_taken_over_and_told_once(tmp_path: Path) -> None:
    files = CertificateFiles(*write_pair(tmp_path))
    before = files.pair
    assert files._tell() is None
    write_pair(tmp_path, "another")
    assert files.look()
    assert files.pair != before
    assert isinstance(files._tell(), grpc.ServerCertificateConfiguration)
    assert files._tell() is None


def test_bad_new_pair_is_said_once_and_the_old_one_stays(tmp_path: Path) -> None:
    paths = write_pair(tmp_path)
    files = CertificateFiles(*paths)
    before = files.pair
    paths[0].unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        files.look()
    assert not files.look()
    paths[0].write_bytes(certificate(make_key()))
    with pytest.raises(ConfigError, match="is not the key of"):
        files.look()
    assert not files.look()
    assert files.pair is before
    write_pair(tmp_path)
    assert files.look()
