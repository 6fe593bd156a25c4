"""The server's certificate and its key, read from two files and read again when those change.

A new pair takes effect with the next connection; those that are there go on. A pair that cannot be
used is said once, and the one before it stays in use. Never writes a file, never logs a key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kubespan.model.errors import ConfigError

CURVES: Final = (ec.SECP256R1, ec.SECP384R1)
"""What gRPC's TLS offers; a certificate on another curve, or of Ed25519, shakes no hands."""

CERTIFICATE_OPTION: Final = "--tls-cert"
KEY_OPTION: Final = "--tls-key"

_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True, slots=True)
class CertificatePair:
    """A chain of certificates and the key of the first one, both as PEM."""

    chain: bytes
    key: bytes = field(repr=False)


class CertificateFiles:
    """The pair that is in use, kept equal to two files by whoever calls `look` now and then."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._seen = self._signature()
        self.pair = load_pair(certificate, key)
        self._untold: grpc.ServerCertificateConfiguration | None = None

    def look(self) -> bool:
        """Take over what changed in the files; return whether the pair is another one.

        Raises ConfigError, once for each change, if what is there now cannot be used.
        """
        signature = self._signature()
        if signature == self._seen:
            return False
        self._seen = signature
        pair = load_pair(self._certificate, self._key)
        if pair == self.pair:
            return False
        self.pair, self._untold = pair, _configuration(pair)
        return True

    def credentials(self) -> grpc.ServerCredentials:
        """Return what gRPC serves TLS with; each handshake takes the pair of that moment."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self.pair),
            self._tell,  # type: ignore[arg-type]  # the stub forgets that None means no change
        )

    def _tell(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the new pair once, None while there is none. Called from threads of gRPC."""
        untold, self._untold = self._untold, None
        return untold

    def _signature(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_signature(path) for path in (self._certificate, self._key))


def load_pair(certificate: Path, key: Path) -> CertificatePair:
    """Read and check both files. Raises ConfigError, which names the option to mend."""
    chain = _read(certificate, CERTIFICATE_OPTION)
    secret = _read(key, KEY_OPTION)
    if _parse_key(secret, key) != _parse_chain(chain, certificate):
        raise ConfigError(
            f"{KEY_OPTION} {key} is not the key of {CERTIFICATE_OPTION} {certificate};"
            " write the two that were made together, the server's own certificate first in its file"
        )
    return CertificatePair(chain, secret)


def _configuration(pair: CertificatePair) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pair.key, pair.chain)])


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{option} {path} cannot be read: {error.strerror}; write the path of a PEM file"
        ) from error


def _parse_chain(chain: bytes, path: Path) -> PublicKeyTypes:
    """Return the public key of the first certificate."""
    return _parsed(
        lambda: x509.load_pem_x509_certificates(chain)[0].public_key(),  # noqa: PLW0108  parses
        f"{CERTIFICATE_OPTION} {path} holds no certificate in PEM;"
        " write the path of one that begins with -----BEGIN CERTIFICATE-----",
    )


def _parse_key(secret: bytes, path: Path) -> PublicKeyTypes:
    """Return the public half."""
    key = _parsed(
        lambda: load_pem_private_key(secret, password=None),
        f"{KEY_OPTION} {path} holds no private key in PEM without a passphrase;"
        " write the path of one that begins with -----BEGIN PRIVATE KEY-----",
    )
    is_curve = isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, CURVES)
    if not is_curve and not isinstance(key, rsa.RSAPrivateKey):
        raise ConfigError(
            f"{KEY_OPTION} {path} is of a kind that gRPC cannot use;"
            " write the path of one on the curve P-256 or P-384, or of RSA"
        )
    return key.public_key()


def _parsed(parse: Callable[[], _Parsed], advice: str) -> _Parsed:
    # The library's own message may quote what it was given, so it is left out.
    try:
        return parse()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(advice) from None
