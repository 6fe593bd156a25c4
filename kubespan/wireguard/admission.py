"""Whether an initiation or response deserves the work that it asks for.

Only macs, load and rates are looked at; nothing here knows a peer or opens a message.
Paper §5.3; kernel receive.c.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from kubespan.model.address import Endpoint
from kubespan.model.constants import UNDER_LOAD_AFTER, UNDER_LOAD_STICKY
from kubespan.model.drop import DropReason
from kubespan.model.keys import PublicKey
from kubespan.noise.cookie import CookieChecker, Gate
from kubespan.wireguard.ratelimiter import RateLimiter


class Admission:
    """The door of one identity: macs always, cookies and rates only under load.

    `publish` is told what lanes are to judge by. What they let in, or for want of a young secret
    cannot answer, is judged again here.
    """

    def __init__(self, public_key: PublicKey, publish: Callable[[Gate], None]) -> None:
        self._checker = CookieChecker(public_key)
        self._publish = publish
        self._published = self._checker.gate
        self._limiter = RateLimiter()
        self._loaded_until = -inf
        publish(self._published)

    def refusal(
        self, datagram: bytes, endpoint: Endpoint, boot: float, *, queued: int
    ) -> DropReason | None:
        """Return why a message is refused, or None if it is let in.

        `queued` messages are waiting behind it. UNDER_LOAD asks for a cookie reply.
        """
        is_under_load = self._is_under_load(boot, queued)
        if not self._checker.check_mac1(datagram):
            return DropReason.BAD_MAC1
        if not is_under_load:
            return None
        if not self._checker.check_mac2(datagram, endpoint.cookie_source(), boot):
            return DropReason.UNDER_LOAD
        return None if self._limiter.allow(endpoint.address, boot) else DropReason.RATE_LIMITED

    def cookie_reply(
        self, datagram: bytes, endpoint: Endpoint, boot: float, random: Callable[[int], bytes]
    ) -> bytes:
        """Build the cookie reply to a message that was refused for load."""
        reply = self._checker.create_reply(
            datagram,
            receiver_index=int.from_bytes(datagram[4:8], "little"),
            source=endpoint.cookie_source(),
            nonce=random(24),
            secret=random(32),
            boot=boot,
        )
        if self._published != self._checker.gate:
            self._published = self._checker.gate
            self._publish(self._published)
        return reply

    def _is_under_load(self, boot: float, queued: int) -> bool:
        if queued >= UNDER_LOAD_AFTER:
            self._loaded_until = boot + UNDER_LOAD_STICKY
        return boot < self._loaded_until
