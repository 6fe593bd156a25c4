"""Whom a client trusts to vouch for a service: a file of certificates, the system's unless named.

gRPC brings a bundle of its own, which knows nothing of what an administrator has added here, so it
is used only where the system has none. Read anew for each connection: a renewed file is noticed.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.x509 import load_pem_x509_certificates

from kubespan.model.errors import ConfigError

SYSTEM_BUNDLES: Final = (
    Path("/etc/ssl/certs/ca-certificates.crt"),  # Debian, Ubuntu, Alpine, Arch, Talos
    Path("/etc/pki/tls/certs/ca-bundle.crt"),  # Fedora, Red Hat
    Path("/etc/ssl/ca-bundle.pem"),  # openSUSE
)


class Authorities:
    """The certificates that are trusted, in PEM; None: those that come with gRPC."""

    def __init__(
        self, path: Path | None = None, bundles: tuple[Path, ...] = SYSTEM_BUNDLES
    ) -> None:
        """Read a file, or the first of the bundles that can be read. Raises ConfigError."""
        self._path = path
        self._bundles = bundles
        self._pem = _system_pem(bundles) if path is None else _read_pem(path)

    def read(self) -> bytes | None:
        """Return what is trusted now; a file that has become unreadable leaves all as it was."""
        with suppress(ConfigError):
            self._pem = _system_pem(self._bundles) if self._path is None else _read_pem(self._path)
        return self._pem


def _read_pem(path: Path) -> bytes:
    try:
        pem = path.read_bytes()
        load_pem_x509_certificates(pem)
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}; name a PEM file with the certificate of who vouches for"
            " the service"
        ) from None
    except ValueError:
        raise ConfigError(
            f"{path} holds no certificate; it must have a part that begins with"
            " -----BEGIN CERTIFICATE-----"
        ) from None
    return pem


def _system_pem(bundles: tuple[Path, ...]) -> bytes | None:
    for path in bundles:
        with suppress(OSError):
            return path.read_bytes()
    return None
