"""What makes hosts one cluster: an id that anyone may see, and a secret that nobody else may.

The secret is used as it is, without derivation, as the AES-256 key of what members tell each other
through discovery and as the preshared key of every pair of peers. KubeSpan: Talos machine
configuration, `cluster.id` and `cluster.secret`.
"""

from __future__ import annotations

import binascii
from hmac import compare_digest
from typing import Final

from kubespan.model.errors import ConfigError, InternalError

SECRET_SIZE: Final = 32


class ClusterSecret:
    """32 secret bytes that all members share. Never prints itself."""

    __slots__ = ("_secret",)

    def __init__(self, raw: bytes) -> None:
        if len(raw) != SECRET_SIZE:
            raise InternalError(f"a cluster secret is {SECRET_SIZE} bytes, not {len(raw)}")
        self._secret = bytearray(raw)

    @classmethod
    def from_base64(cls, text: str) -> ClusterSecret:
        """Read standard base64 of exactly 32 bytes. Raises ConfigError."""
        try:
            raw = binascii.a2b_base64(text, strict_mode=True)
        except ValueError:
            raise ConfigError(
                "the cluster secret is not standard base64 (A-Z a-z 0-9 + / and = at the end);"
                " copy it whole, or make a new one with `kubespan gen config`"
            ) from None
        if len(raw) != SECRET_SIZE:
            raise ConfigError(
                f"the cluster secret is {len(raw)} bytes in base64, and must be {SECRET_SIZE};"
                " copy it whole, or make a new one with `kubespan gen config`"
            )
        return cls(raw)

    @property
    def raw(self) -> bytes:
        """A copy of the 32 bytes."""
        return bytes(self._secret)

    def base64(self) -> str:
        """44 characters of the secret, the last one `=`."""
        return binascii.b2a_base64(bytes(self._secret), newline=False).decode("ascii")

    def wipe(self) -> None:
        """Overwrite the secret with zeros."""
        self._secret[:] = bytes(len(self._secret))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ClusterSecret):
            return NotImplemented
        return compare_digest(self._secret, other._secret)

    __hash__ = None  # type: ignore[assignment]  # a hash would be a trace of the secret

    def __repr__(self) -> str:
        return "ClusterSecret(hidden)"
