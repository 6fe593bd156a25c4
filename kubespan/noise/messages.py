"""The four messages of WireGuard: where each field lies, and nothing about what it means.

`parse` takes a whole datagram and raises ProtocolError unless its first word and its size are
exactly those of the message; `build` is its inverse. No cryptography. Paper §5.4.2 to §5.4.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final

from kubespan.model.constants import (
    MESSAGE_COOKIE_REPLY_SIZE,
    MESSAGE_INITIATION_SIZE,
    MESSAGE_RESPONSE_SIZE,
    MESSAGE_TRANSPORT_HEADER_SIZE,
    MESSAGE_TRANSPORT_MIN_SIZE,
)
from kubespan.model.drop import DropReason
from kubespan.model.errors import ProtocolError
from kubespan.model.keys import PublicKey

NO_MAC: Final = bytes(16)
"""What stands where a mac1 is still to be filled in, and where there is no mac2."""

# All integers are little-endian. The type is one byte and three reserved zeros, read as one word.
_TYPE: Final = Struct("<I")
_INITIATION: Final = Struct("<II 32s 48s 28s 16s 16s")
_RESPONSE: Final = Struct("<III 32s 16s 16s 16s")
_COOKIE_REPLY: Final = Struct("<II 24s 32s")
_TRANSPORT_HEADER: Final = Struct("<IIQ")


class MessageType(IntEnum):
    """The first word of a message."""

    INITIATION = 1
    RESPONSE = 2
    COOKIE_REPLY = 3
    TRANSPORT = 4


_SIZES: Final = {
    MessageType.INITIATION: MESSAGE_INITIATION_SIZE,
    MessageType.RESPONSE: MESSAGE_RESPONSE_SIZE,
    MessageType.COOKIE_REPLY: MESSAGE_COOKIE_REPLY_SIZE,
}


@dataclass(frozen=True, slots=True)
class Initiation:
    """The first message: who I am, sealed for you, and when. Paper §5.4.2."""

    sender_index: int
    ephemeral: PublicKey
    encrypted_static: bytes
    encrypted_timestamp: bytes
    mac1: bytes = NO_MAC
    mac2: bytes = NO_MAC

    @classmethod
    def parse(cls, datagram: bytes) -> Initiation:
        """Read the fields of a datagram. Raises ProtocolError."""
        _expect(MessageType.INITIATION, datagram)
        _, sender_index, ephemeral, *sealed_and_macs = _INITIATION.unpack(datagram)
        return cls(sender_index, PublicKey(ephemeral), *sealed_and_macs)

    def build(self) -> bytes:
        """Build the datagram: 148 bytes."""
        return _INITIATION.pack(
            MessageType.INITIATION,
            self.sender_index,
            self.ephemeral.raw,
            self.encrypted_static,
            self.encrypted_timestamp,
            self.mac1,
            self.mac2,
        )


@dataclass(frozen=True, slots=True)
class Response:
    """The second message: I am the one you meant. Paper §5.4.3."""

    sender_index: int
    receiver_index: int
    ephemeral: PublicKey
    encrypted_empty: bytes
    mac1: bytes = NO_MAC
    mac2: bytes = NO_MAC

    @classmethod
    def parse(cls, datagram: bytes) -> Response:
        """Read the fields of a datagram. Raises ProtocolError."""
        _expect(MessageType.RESPONSE, datagram)
        _, sender_index, receiver_index, ephemeral, *sealed_and_macs = _RESPONSE.unpack(datagram)
        return cls(sender_index, receiver_index, PublicKey(ephemeral), *sealed_and_macs)

    def build(self) -> bytes:
        """Build the datagram: 92 bytes."""
        return _RESPONSE.pack(
            MessageType.RESPONSE,
            self.sender_index,
            self.receiver_index,
            self.ephemeral.raw,
            self.encrypted_empty,
            self.mac1,
            self.mac2,
        )


@dataclass(frozen=True, slots=True)
class CookieReply:
    """What a loaded responder says instead: show me first that you are where you say. §5.4.7."""

    receiver_index: int
    nonce: bytes
    encrypted_cookie: bytes

    @classmethod
    def parse(cls, datagram: bytes) -> CookieReply:
        """Read the fields of a datagram. Raises ProtocolError."""
        _expect(MessageType.COOKIE_REPLY, datagram)
        _, *fields = _COOKIE_REPLY.unpack(datagram)
        return cls(*fields)

    def build(self) -> bytes:
        """Build the datagram: 64 bytes."""
        return _COOKIE_REPLY.pack(
            MessageType.COOKIE_REPLY, self.receiver_index, self.nonce, self.encrypted_cookie
        )


@dataclass(frozen=True, slots=True)
class Transport:
    """A sealed packet; a keepalive if the packet is empty. Paper §5.4.6."""

    receiver_index: int
    counter: int
    ciphertext: bytes
    """The packet, then 16 bytes of tag."""

    @classmethod
    def parse(cls, datagram: bytes) -> Transport:
        """Read the fields of a datagram. Raises ProtocolError."""
        _expect(MessageType.TRANSPORT, datagram)
        _, receiver_index, counter = _TRANSPORT_HEADER.unpack_from(datagram)
        return cls(receiver_index, counter, datagram[MESSAGE_TRANSPORT_HEADER_SIZE:])

    def build(self) -> bytes:
        """Build the datagram: 16 bytes more than the ciphertext."""
        header = _TRANSPORT_HEADER.pack(MessageType.TRANSPORT, self.receiver_index, self.counter)
        return header + self.ciphertext


def message_type(datagram: bytes) -> MessageType:
    """Tell what a datagram is by its first word; its size is one that such a message has.

    Raises ProtocolError: UNKNOWN_TYPE if the word says nothing, MALFORMED if the size is wrong.
    """
    if len(datagram) < _TYPE.size:
        raise ProtocolError(DropReason.MALFORMED)
    (word,) = _TYPE.unpack_from(datagram)
    try:
        kind = MessageType(word)
    except ValueError:
        raise ProtocolError(DropReason.UNKNOWN_TYPE) from None
    if not _has_size_of(kind, datagram):
        raise ProtocolError(DropReason.MALFORMED)
    return kind


def _has_size_of(kind: MessageType, datagram: bytes) -> bool:
    if kind is MessageType.TRANSPORT:
        return len(datagram) >= MESSAGE_TRANSPORT_MIN_SIZE
    return len(datagram) == _SIZES[kind]


def _expect(kind: MessageType, datagram: bytes) -> None:
    if message_type(datagram) is not kind:
        raise ProtocolError(DropReason.MALFORMED)
