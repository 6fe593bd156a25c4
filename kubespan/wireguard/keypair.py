"""One session's two keys, in Python: the reference for the native keypair.

Seals and opens transport messages. Knows no peer and no clock; whether a session is too old to use
is for others to judge. Paper §5.4.6.
"""

from __future__ import annotations

from kubespan.model.constants import REJECT_AFTER_MESSAGES
from kubespan.model.drop import DropReason
from kubespan.model.errors import InternalError, ProtocolError
from kubespan.noise.messages import Transport
from kubespan.noise.primitives import aead_open, aead_seal
from kubespan.wireguard.replay import ReplayWindow


class PureKeypair:
    """A Keypair of the data path: see there for what each method promises."""

    __slots__ = (
        "_is_wiped",
        "_receive_key",
        "_send_key",
        "_window",
        "created_at",
        "is_initiator",
        "local_index",
        "remote_index",
        "send_counter",
    )

    def __init__(
        self,
        *,
        send_key: bytes,
        receive_key: bytes,
        local_index: int,
        remote_index: int,
        is_initiator: bool,
        created_at: float,
    ) -> None:
        self.local_index = local_index
        self.remote_index = remote_index
        self.is_initiator = is_initiator
        self.created_at = created_at
        self.send_counter = 0
        self._send_key = bytearray(send_key)
        self._receive_key = bytearray(receive_key)
        self._window = ReplayWindow()
        self._is_wiped = False

    def seal(self, packet: bytes) -> bytes:
        """Return the transport datagram of a packet, under the next counter."""
        counter = self.send_counter
        if self._is_wiped or counter >= REJECT_AFTER_MESSAGES:
            raise InternalError("a session was used after its end")
        self.send_counter = counter + 1
        sealed = aead_seal(bytes(self._send_key), counter, packet, b"")
        return Transport(self.remote_index, counter, sealed).build()

    def open(self, datagram: bytes) -> bytes | int:
        """Return the plaintext, or why there is none; the tag is checked before the counter."""
        if self._is_wiped:
            return DropReason.UNKNOWN_INDEX.value
        try:
            message = Transport.parse(datagram)
        except ProtocolError:
            return DropReason.MALFORMED.value
        try:
            plaintext = aead_open(
                bytes(self._receive_key), message.counter, message.ciphertext, b""
            )
        except ProtocolError:
            return DropReason.BAD_TAG.value
        return plaintext if self._window.accept(message.counter) else DropReason.REPLAYED.value

    def wipe(self) -> None:
        """Overwrite both keys."""
        self._is_wiped = True
        for key in (self._send_key, self._receive_key):
            key[:] = bytes(len(key))
