"""What the discovery server may not read: affiliates and endpoints under the cluster's secret.

Bytes to bytes; knows no message. Affiliates are sealed with AES-256-GCM under a nonce that is never
used again. Endpoints are sealed with AES-256 block by block and without a nonce: equal ones must
stay equal, because the server joins what several members say about one node by comparing bytes.
That also means that nothing vouches for an endpoint; what opens is still only a claim. Neither is
bound to the record it lies in. Sidero discovery protocol, as observed.

Ciphers are made for each call: that costs about a microsecond, and no copy of the secret stays.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kubespan.discovery.hostile import BlobReason, BlobRefused
from kubespan.model.cluster import SECRET_SIZE
from kubespan.model.constants import MAX_AFFILIATE_DATA_SIZE, MAX_ENDPOINT_SIZE
from kubespan.model.errors import InternalError

NONCE_SIZE: Final = 12
TAG_SIZE: Final = 16
BLOCK_SIZE: Final = 16

MAX_AFFILIATE_SIZE: Final = MAX_AFFILIATE_DATA_SIZE - NONCE_SIZE - TAG_SIZE
"""Bytes of an affiliate before it is sealed."""


def seal_affiliate(key: bytes, nonce: bytes, message: bytes) -> bytes:
    """Build nonce (12 bytes), ciphertext and tag (16 bytes). Raises BlobRefused.

    The nonce must never have been used with this key; 12 random bytes are as good.
    """
    if len(message) > MAX_AFFILIATE_SIZE:
        raise BlobRefused(BlobReason.TOO_LARGE)
    return seal_bytes(key, nonce, message)


def open_affiliate(key: bytes, data: bytes) -> bytes:
    """Return the message inside. Raises BlobRefused; too many bytes are not even tried."""
    if len(data) > MAX_AFFILIATE_DATA_SIZE:
        raise BlobRefused(BlobReason.TOO_LARGE)
    return open_bytes(key, data)


def seal_bytes(key: bytes, nonce: bytes, message: bytes, context: bytes = b"") -> bytes:
    """Seal as `seal_affiliate` does, at any size, and bound to a context that is not sent."""
    _check_key(key)
    if len(nonce) != NONCE_SIZE:
        raise InternalError(f"a nonce is {NONCE_SIZE} bytes, not {len(nonce)}")
    return nonce + AESGCM(key).encrypt(nonce, message, context)


def open_bytes(key: bytes, data: bytes, context: bytes = b"") -> bytes:
    """Return what `seal_bytes` was given. Raises BlobRefused."""
    _check_key(key)
    if len(data) < NONCE_SIZE + TAG_SIZE:
        raise BlobRefused(BlobReason.TOO_SHORT)
    try:
        return AESGCM(key).decrypt(data[:NONCE_SIZE], data[NONCE_SIZE:], context)
    except InvalidTag:
        raise BlobRefused(BlobReason.BAD_TAG) from None


def seal_endpoint(key: bytes, message: bytes) -> bytes:
    """Build 16 or 32 bytes, the same for the same message. Raises BlobRefused.

    A length byte, the message of at most 31 bytes and zeros up to a whole block, each block
    encrypted by itself.
    """
    _check_key(key)
    if len(message) >= MAX_ENDPOINT_SIZE:
        raise BlobRefused(BlobReason.TOO_LARGE)
    content = bytes((len(message),)) + message
    return _blocks(key).encryptor().update(content + bytes(-len(content) % BLOCK_SIZE))


def open_endpoint(key: bytes, data: bytes) -> bytes:
    """Return the message inside. Raises BlobRefused.

    The padding is checked to be zeros, which stops nearly all blobs of another secret: there is
    no tag that would.
    """
    _check_key(key)
    if len(data) > MAX_ENDPOINT_SIZE:
        raise BlobRefused(BlobReason.TOO_LARGE)
    if len(data) < BLOCK_SIZE:
        raise BlobRefused(BlobReason.TOO_SHORT)
    if len(data) % BLOCK_SIZE:
        raise BlobRefused(BlobReason.BAD_PADDING)
    content = _blocks(key).decryptor().update(data)
    end = 1 + content[0]
    if end > len(content) or any(content[end:]):
        raise BlobRefused(BlobReason.BAD_PADDING)
    return content[1:end]


def _blocks(key: bytes) -> Cipher[modes.ECB]:
    # The protocol's choice; it lets the server see which endpoints are equal, and must.
    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305


def _check_key(key: bytes) -> None:
    # A shorter one would silently be AES-128, which nobody else speaks.
    if len(key) != SECRET_SIZE:
        raise InternalError(f"a cluster secret is {SECRET_SIZE} bytes, not {len(key)}")
