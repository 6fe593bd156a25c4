"""A certificate authority of the tests, and a server's certificate from it."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

LIFETIME = dt.timedelta(days=1)


class Authority:
    """One authority with the one certificate that it has given away: to 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.certificate = folder / "ca.pem"
        self.server_certificate = folder / "server.pem"
        self.server_key = folder / "server-key.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"CA {folder.name}")])
        self._write()

    @property
    def options(self) -> tuple[str, ...]:
        """Return what the server is started with."""
        return ("--tls-cert", str(self.server_certificate), "--tls-key", str(self.server_key))

    def replace(self, other: Authority) -> None:
        """Put our server's certificate where the other's is, as a renewal would."""
        self.server_key.replace(other.server_key)
        self.server_certificate.replace(other.server_certificate)

    def _write(self) -> None:
        authority = x509.BasicConstraints(ca=True, path_length=None)
        own = self._build(self._name, self._key.public_key()).add_extension(authority, True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        where = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        given = self._build(name, key.public_key()).add_extension(where, False)
        self.certificate.write_bytes(self._sign(own))
        self.server_certificate.write_bytes(self._sign(given))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.server_key.write_bytes(private)

    def _build(self, name: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=name,
            public_key=key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - LIFETIME,
            not_valid_after=now + LIFETIME,
        )

    def _sign(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
