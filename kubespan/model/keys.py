"""The three kinds of key, as distinct types of 32 bytes each.

Only a public key prints itself. Secrets are kept in bytearrays so that `wipe` really overwrites
them; what Python cannot wipe are the immutable copies that `raw`, `hex` and `base64` hand out,
which live until they are collected and their memory is reused. Paper §5.4; RFC 7748 §5 (clamping).
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from hmac import compare_digest

from nacl.bindings import crypto_scalarmult_base

from kubespan.model.errors import ConfigError, InternalError

KEY_SIZE = 32


@dataclass(frozen=True, slots=True, repr=False)
class PublicKey:
    """Who someone is. Hashable; any 32 bytes, low-order points included."""

    raw: bytes

    def __post_init__(self) -> None:
        _check_size(self.raw)

    def __hash__(self) -> int:
        return hash(self.raw)

    @classmethod
    def from_hex(cls, text: str) -> PublicKey:
        """Read 64 hexadecimal digits. Raises ConfigError."""
        return cls(_from_hex(text, "a public key"))

    @classmethod
    def from_base64(cls, text: str) -> PublicKey:
        """Read 44 base64 characters, as `wg` prints them. Raises ConfigError."""
        return cls(_from_base64(text, "a public key"))

    def hex(self) -> str:
        """64 lower-case hexadecimal digits."""
        return self.raw.hex()

    def base64(self) -> str:
        """44 characters, the last one `=`."""
        return _to_base64(self.raw)

    def __repr__(self) -> str:
        return self.base64()


class PrivateKey:
    """Who we are, or who we are for one handshake. Clamped when made, so never all zero."""

    __slots__ = ("_secret", "public_key")

    public_key: PublicKey

    def __init__(self, raw: bytes) -> None:
        _check_size(raw)
        self._secret = bytearray(raw)
        self._secret[0] &= 0b1111_1000
        self._secret[31] = self._secret[31] & 0b0111_1111 | 0b0100_0000
        self.public_key = PublicKey(crypto_scalarmult_base(bytes(self._secret)))

    @classmethod
    def from_hex(cls, text: str) -> PrivateKey:
        """Read 64 hexadecimal digits. Raises ConfigError."""
        return cls(_from_hex(text, "a private key"))

    @classmethod
    def from_base64(cls, text: str) -> PrivateKey:
        """Read 44 base64 characters, as `wg` prints them. Raises ConfigError."""
        return cls(_from_base64(text, "a private key"))

    @property
    def raw(self) -> bytes:
        """A copy of the clamped secret. Raises InternalError after `wipe`."""
        if not any(self._secret):
            # A wiped key would be clamped to a scalar that everyone knows.
            raise InternalError("a wiped private key was used")
        return bytes(self._secret)

    def hex(self) -> str:
        """64 lower-case hexadecimal digits of the secret."""
        return self.raw.hex()

    def base64(self) -> str:
        """44 characters of the secret, the last one `=`."""
        return _to_base64(self.raw)

    def copy(self) -> PrivateKey:
        """Return the same key in memory of its own, for whoever will wipe it."""
        return PrivateKey(self.raw)

    def wipe(self) -> None:
        """Overwrite the secret; only `public_key` is left."""
        _wipe(self._secret)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PrivateKey):
            return NotImplemented
        return compare_digest(self._secret, other._secret)

    __hash__ = None  # type: ignore[assignment]  # a hash would be a trace of the secret

    def __repr__(self) -> str:
        return "PrivateKey(hidden)"


class PresharedKey:
    """A second secret between two peers. All zero, the default, means that there is none."""

    __slots__ = ("_secret",)

    def __init__(self, raw: bytes = bytes(KEY_SIZE)) -> None:
        _check_size(raw)
        self._secret = bytearray(raw)

    @classmethod
    def from_hex(cls, text: str) -> PresharedKey:
        """Read 64 hexadecimal digits. Raises ConfigError."""
        return cls(_from_hex(text, "a preshared key"))

    @classmethod
    def from_base64(cls, text: str) -> PresharedKey:
        """Read 44 base64 characters, as `wg` prints them. Raises ConfigError."""
        return cls(_from_base64(text, "a preshared key"))

    @property
    def is_zero(self) -> bool:
        """Whether there is no preshared key."""
        return not any(self._secret)

    @property
    def raw(self) -> bytes:
        """A copy of the secret."""
        return bytes(self._secret)

    def hex(self) -> str:
        """64 lower-case hexadecimal digits of the secret."""
        return self.raw.hex()

    def base64(self) -> str:
        """44 characters of the secret, the last one `=`."""
        return _to_base64(self.raw)

    def wipe(self) -> None:
        """Overwrite the secret with zeros."""
        _wipe(self._secret)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PresharedKey):
            return NotImplemented
        return compare_digest(self._secret, other._secret)

    __hash__ = None  # type: ignore[assignment]  # a hash would be a trace of the secret

    def __repr__(self) -> str:
        return "PresharedKey(hidden)"


def _check_size(raw: bytes) -> None:
    if len(raw) != KEY_SIZE:
        raise InternalError(f"a key is {KEY_SIZE} bytes, not {len(raw)}")


def _from_hex(text: str, what: str) -> bytes:
    try:
        raw = binascii.unhexlify(text)
    except ValueError:
        raw = b""
    if len(raw) != KEY_SIZE:
        # The text stays out of the message: it may be most of a secret.
        raise ConfigError(
            f"{what} is 64 hexadecimal digits (0-9, a-f), and these {len(text)} characters are not"
        )
    return raw


def _from_base64(text: str, what: str) -> bytes:
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raw = b""
    # Only the one canonical spelling: base64 leaves two bits of the last character unused.
    if len(raw) != KEY_SIZE or _to_base64(raw) != text:
        raise ConfigError(
            f"{what} is 44 base64 characters ending in '=', as `wg genkey` prints,"
            f" and these {len(text)} characters are not"
        )
    return raw


def _to_base64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode("ascii")


def _wipe(secret: bytearray) -> None:
    secret[:] = bytes(len(secret))
