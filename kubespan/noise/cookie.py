"""The two sides of mac1 and mac2: cheap proofs that a handshake message deserves a look.

mac1 shows that the sender knows whom it calls; mac2 that it can be reached where it says, which a
responder asks for by a cookie reply only while it is under load. Decides neither when that is nor
what happens then. Paper §5.3, §5.4.4, §5.4.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from hmac import compare_digest
from math import inf
from typing import Final

from kubespan.model.constants import COOKIE_REFRESH_TIME, COOKIE_VALIDITY
from kubespan.model.drop import DropReason
from kubespan.model.errors import ProtocolError
from kubespan.model.keys import PublicKey
from kubespan.noise.messages import NO_MAC, CookieReply
from kubespan.noise.primitives import HASH_SIZE, hash_, mac, xaead_open, xaead_seal

_LABEL_MAC1: Final = b"mac1----"
_LABEL_COOKIE: Final = b"cookie--"
_NEVER: Final = -inf

# Initiation and response end alike: mac1 over all that is before it, mac2 over all before that.
_MAC1: Final = slice(-32, -16)
_MAC2: Final = slice(-16, None)
_BEFORE_MAC1: Final = slice(None, -32)
_BEFORE_MAC2: Final = slice(None, -16)


@dataclass(frozen=True, slots=True, repr=False)
class Gate:
    """All that is needed to judge macs and to answer with cookies: three keys of 32 bytes."""

    mac1_key: bytes
    cookie_key: bytes
    secret: bytes
    secret_until: float
    """Boot seconds from which on the secret is too old, 0.0 when there is none."""


class CookieChecker:
    """The side that is called: checks macs and hands out cookies.

    Datagrams given to it are whole initiations or responses. A cookie is not stored but computed
    again, from a secret that changes every COOKIE_REFRESH_TIME and from where the sender is.
    """

    __slots__ = ("_cookie_key", "_mac1_key", "_secret", "_secret_until")

    def __init__(self, public_key: PublicKey) -> None:
        self._mac1_key = hash_(_LABEL_MAC1, public_key.raw)
        self._cookie_key = hash_(_LABEL_COOKIE, public_key.raw)
        self._secret = bytes(HASH_SIZE)
        self._secret_until = 0.0

    @property
    def gate(self) -> Gate:
        """What it takes to do the same as this, until the secret changes."""
        return Gate(self._mac1_key, self._cookie_key, self._secret, self._secret_until)

    def check_mac1(self, datagram: bytes) -> bool:
        """Tell whether the sender knows our public key."""
        return compare_digest(mac(self._mac1_key, datagram[_BEFORE_MAC1]), datagram[_MAC1])

    def check_mac2(self, datagram: bytes, source: bytes, boot: float) -> bool:
        """Tell whether the sender holds a cookie of ours, made for `source` and still fresh."""
        if not self._is_secret_fresh(boot):
            return False
        return compare_digest(mac(self._cookie(source), datagram[_BEFORE_MAC2]), datagram[_MAC2])

    def create_reply(
        self,
        datagram: bytes,
        *,
        receiver_index: int,
        source: bytes,
        nonce: bytes,
        secret: bytes,
        boot: float,
    ) -> bytes:
        """Build the cookie reply to `datagram`, whose mac1 is right: 64 bytes.

        `receiver_index` is the sender index of the datagram; `source` is that of
        `Endpoint.cookie_source`; `nonce` is 24 fresh random bytes; `secret` is 32 more, used only
        if the secret in use is too old.
        """
        if not self._is_secret_fresh(boot):
            self._secret, self._secret_until = secret, boot + COOKIE_REFRESH_TIME
        encrypted_cookie = xaead_seal(
            self._cookie_key, nonce, self._cookie(source), datagram[_MAC1]
        )
        return CookieReply(receiver_index, nonce, encrypted_cookie).build()

    def _is_secret_fresh(self, boot: float) -> bool:
        return boot < self._secret_until

    def _cookie(self, source: bytes) -> bytes:
        return mac(self._secret, source)


class CookieGenerator:
    """The side that calls: writes macs, and keeps the cookie that it is given.

    Both keys are hashed anew for each use: a peer may be one of ten thousand, and seldom calls.
    """

    __slots__ = ("_cookie", "_cookie_received_at", "_remote_static", "_unanswered_mac1")

    def __init__(self, remote_static: PublicKey) -> None:
        self._remote_static = remote_static
        self._cookie = b""
        self._cookie_received_at = _NEVER
        self._unanswered_mac1: bytes | None = None

    def add_macs(self, datagram: bytes, boot: float) -> bytes:
        """Fill in mac1, and mac2 if a cookie younger than COOKIE_VALIDITY is held."""
        before_mac1 = datagram[_BEFORE_MAC1]
        mac1 = mac(hash_(_LABEL_MAC1, self._remote_static.raw), before_mac1)
        self._unanswered_mac1 = mac1
        before_mac2 = before_mac1 + mac1
        return before_mac2 + self._mac2(before_mac2, boot)

    def consume_reply(self, message: CookieReply, boot: float) -> None:
        """Keep the cookie that answers the last datagram sent; one reply is taken for each.

        Raises ProtocolError: UNEXPECTED if none is awaited, BAD_AEAD if it answers something else.
        """
        if self._unanswered_mac1 is None:
            raise ProtocolError(DropReason.UNEXPECTED)
        cookie_key = hash_(_LABEL_COOKIE, self._remote_static.raw)
        self._cookie = xaead_open(
            cookie_key, message.nonce, message.encrypted_cookie, self._unanswered_mac1
        )
        self._cookie_received_at = boot
        self._unanswered_mac1 = None

    def _mac2(self, before_mac2: bytes, boot: float) -> bytes:
        if boot >= self._cookie_received_at + COOKIE_VALIDITY:
            return NO_MAC
        return mac(self._cookie, before_mac2)
