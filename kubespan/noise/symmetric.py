"""What both ends of a handshake know so far: a chaining key to derive from, a hash to agree on.

Every message moves both on; two ends that did or saw different things no longer understand each
other. Knows no message and no peer. The SymmetricState of the Noise specification, §5.2, with one
narrowing that WireGuard allows: a key seals or opens one field, so its nonce is always 0.
"""

from __future__ import annotations

from kubespan.model.errors import InternalError
from kubespan.noise.primitives import Octets, aead_open, aead_seal, hash_, kdf2, kdf3


class SymmetricState:
    """Chaining key, hash, and the key for the next sealed field."""

    __slots__ = ("_key", "chaining_key", "hash")

    def __init__(self, chaining_key: Octets, hash_value: bytes) -> None:
        self.chaining_key = bytearray(chaining_key)
        self.hash = hash_value
        self._key = b""

    def copy(self) -> SymmetricState:
        """Make another that starts here and moves on alone."""
        other = SymmetricState(self.chaining_key, self.hash)
        other._key = self._key
        return other

    def mix_hash(self, data: Octets) -> None:
        """Agree on `data`: whoever saw other data cannot go on."""
        self.hash = hash_(self.hash, data)

    def mix_key(self, material: Octets) -> None:
        """Derive from `material`: whoever does not know it cannot go on.

        The paper writes KDF1 where no field is sealed next; its output is the first of KDF2.
        """
        self.chaining_key[:], self._key = kdf2(self.chaining_key, material)

    def mix_key_and_hash(self, material: Octets) -> None:
        """Derive from `material` and agree on it, as is done with a preshared key."""
        self.chaining_key[:], agreed, self._key = kdf3(self.chaining_key, material)
        self.mix_hash(agreed)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """Seal one field, 16 bytes longer, and agree on it."""
        ciphertext = aead_seal(self._take_key(), 0, plaintext, self.hash)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        """Open one field and agree on it. Raises ProtocolError(BAD_AEAD), which spends the key."""
        plaintext = aead_open(self._take_key(), 0, ciphertext, self.hash)
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        """Derive the two keys of a session: the initiator's to send with, then the responder's."""
        return kdf2(self.chaining_key, b"")

    def wipe(self) -> None:
        """Overwrite the chaining key and forget the rest."""
        self.chaining_key[:] = bytes(len(self.chaining_key))
        self.hash = bytes(len(self.hash))
        self._key = b""

    def _take_key(self) -> bytes:
        # Sealing twice under one key with nonce 0 would give both plaintexts away.
        key, self._key = self._key, b""
        if not key:
            raise InternalError("a handshake key was used twice")
        return key
