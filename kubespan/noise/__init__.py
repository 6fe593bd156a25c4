"""Who are you: the handshake, Noise_IKpsk2 as WireGuard uses it, from bytes to bytes.

Nothing here reads a clock, draws a random number, sends, or knows more than one peer: moments,
ephemeral keys, nonces and timestamps are arguments. WireGuard paper §5.
"""

from kubespan.noise.cookie import CookieChecker, CookieGenerator
from kubespan.noise.handshake import (
    Handshake,
    HandshakeState,
    LocalStatic,
    OpenedInitiation,
    SessionKeys,
    open_initiation,
)
from kubespan.noise.messages import (
    CookieReply,
    Initiation,
    MessageType,
    Response,
    Transport,
    message_type,
)
from kubespan.noise.tai64n import timestamp

__all__ = [
    "CookieChecker",
    "CookieGenerator",
    "CookieReply",
    "Handshake",
    "HandshakeState",
    "Initiation",
    "LocalStatic",
    "MessageType",
    "OpenedInitiation",
    "Response",
    "SessionKeys",
    "Transport",
    "message_type",
    "open_initiation",
    "timestamp",
]
