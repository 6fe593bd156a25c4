"""The cryptography of WireGuard under the names of the paper: thin names over PyNaCl and hashlib.

Holds no state and draws no randomness. What these functions return are immutable bytes, which
Python cannot wipe; callers that keep a result for long keep it in a bytearray. Paper §5.4;
BLAKE2 RFC 7693; HMAC RFC 2104; X25519 RFC 7748; AEAD RFC 8439.
"""

from __future__ import annotations

from hashlib import blake2s
from typing import Final, TypeAlias

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_scalarmult,
)
from nacl.exceptions import CryptoError
from nacl.exceptions import RuntimeError as SodiumError

from kubespan.model.drop import DropReason
from kubespan.model.errors import ProtocolError
from kubespan.model.keys import PrivateKey, PublicKey

Octets: TypeAlias = bytes | bytearray

HASH_SIZE: Final = 32
MAC_SIZE: Final = 16
TAG_SIZE: Final = 16
XAEAD_NONCE_SIZE: Final = 24

_BLOCK_SIZE: Final = 64
_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))


def hash_(*parts: Octets) -> bytes:
    """Hash the parts, one behind the other: 32 bytes."""
    return blake2s(b"".join(parts)).digest()


def mac(key: Octets, data: Octets) -> bytes:
    """Authenticate with keyed BLAKE2s: 16 bytes; the key is 16 or 32 bytes."""
    return blake2s(data, key=key, digest_size=MAC_SIZE).digest()


def hmac_(key: Octets, data: Octets) -> bytes:
    """Authenticate with HMAC over BLAKE2s, which is not keyed BLAKE2s: 32 bytes.

    The key is at most a block. A handshake takes 25 of these, and the standard library's way to
    say it costs twice as much.
    """
    block = key.ljust(_BLOCK_SIZE, b"\0")
    inner = blake2s(block.translate(_INNER_PAD) + data).digest()
    return blake2s(block.translate(_OUTER_PAD) + inner).digest()


def kdf1(key: Octets, material: Octets) -> bytes:
    """Derive one key from a key and new material. Paper §5.4."""
    return hmac_(hmac_(key, material), b"\x01")


def kdf2(key: Octets, material: Octets) -> tuple[bytes, bytes]:
    """Derive two keys; the first is that of `kdf1`. Paper §5.4."""
    secret = hmac_(key, material)
    first = hmac_(secret, b"\x01")
    return first, hmac_(secret, first + b"\x02")


def kdf3(key: Octets, material: Octets) -> tuple[bytes, bytes, bytes]:
    """Derive three keys; the first two are those of `kdf2`. Paper §5.4."""
    secret = hmac_(key, material)
    first = hmac_(secret, b"\x01")
    second = hmac_(secret, first + b"\x02")
    return first, second, hmac_(secret, second + b"\x03")


def dh(private_key: PrivateKey, public_key: PublicKey) -> bytes:
    """Agree on 32 bytes. Raises ProtocolError(LOW_ORDER_POINT) where everyone would agree on them.

    Source: RFC 7748 §6.1, the check for the all-zero value.
    """
    try:
        return crypto_scalarmult(private_key.raw, public_key.raw)
    except SodiumError:
        raise ProtocolError(DropReason.LOW_ORDER_POINT) from None


def aead_seal(key: bytes, counter: int, plaintext: bytes, associated_data: bytes) -> bytes:
    """Seal with ChaCha20-Poly1305: the ciphertext, then 16 bytes of tag."""
    return crypto_aead_chacha20poly1305_ietf_encrypt(
        plaintext, associated_data, _nonce(counter), key
    )


def aead_open(key: bytes, counter: int, ciphertext: bytes, associated_data: bytes) -> bytes:
    """Open what `aead_seal` sealed. Raises ProtocolError(BAD_AEAD)."""
    _check_tag_fits(ciphertext)
    try:
        return crypto_aead_chacha20poly1305_ietf_decrypt(
            ciphertext, associated_data, _nonce(counter), key
        )
    except CryptoError:
        raise ProtocolError(DropReason.BAD_AEAD) from None


def xaead_seal(key: bytes, nonce: bytes, plaintext: bytes, associated_data: bytes) -> bytes:
    """Seal with XChaCha20-Poly1305 and a nonce of 24 bytes that may be random."""
    return crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, associated_data, nonce, key)


def xaead_open(key: bytes, nonce: bytes, ciphertext: bytes, associated_data: bytes) -> bytes:
    """Open what `xaead_seal` sealed. Raises ProtocolError(BAD_AEAD)."""
    _check_tag_fits(ciphertext)
    try:
        return crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, associated_data, nonce, key)
    except CryptoError:
        raise ProtocolError(DropReason.BAD_AEAD) from None


def _nonce(counter: int) -> bytes:
    """Build the 12 bytes of an AEAD nonce: four of zero, then the counter, little-endian."""
    return bytes(4) + counter.to_bytes(8, "little")


def _check_tag_fits(ciphertext: bytes) -> None:
    # PyNaCl would ask for a buffer of negative size.
    if len(ciphertext) < TAG_SIZE:
        raise ProtocolError(DropReason.BAD_AEAD)
