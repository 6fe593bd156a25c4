"""Why a packet or datagram was dropped: one vocabulary for Python and native code.

Dropping is silent on the wire; these names are how an operator finds out. The numbers index
counter arrays shared with native code, so a reason is only ever added at the end.
"""

from __future__ import annotations

from enum import IntEnum


class DropReason(IntEnum):
    """One reason a packet or datagram goes no further."""

    MALFORMED = 0  # a length or layout that no message of its type has
    UNKNOWN_TYPE = 1  # a first word that names no message type
    BAD_MAC1 = 2  # not written by someone who knows our public key
    UNDER_LOAD = 3  # answered with a cookie reply instead
    RATE_LIMITED = 4  # valid cookie, but too many handshakes from that source
    UNKNOWN_PEER = 5  # a static key that is not configured
    LOW_ORDER_POINT = 6  # a Diffie-Hellman result that anyone could know
    BAD_AEAD = 7  # a sealed field of a handshake message or cookie reply does not open
    OLD_TIMESTAMP = 8  # an initiation older than the newest accepted one
    HANDSHAKE_FLOOD = 9  # initiations of one peer closer together than allowed
    UNEXPECTED = 10  # a message that the state it meets is not waiting for
    UNKNOWN_INDEX = 11  # a receiver index that names nothing of the right kind
    KEY_EXPIRED = 12  # a keypair too old to be used
    BAD_TAG = 13  # a transport message does not open
    REPLAYED = 14  # a message seen before, or one too far behind to tell
    BAD_INNER = 15  # an opened packet that is not IP of the length it claims
    WRONG_SOURCE = 16  # an opened packet whose source belongs to another peer
    NO_PEER = 17  # an outgoing packet whose destination belongs to no peer
    NO_ENDPOINT = 18  # an outgoing packet for a peer whose endpoint is unknown
    STAGED_OVERFLOW = 19  # the oldest packet waiting for a session made room for a newer one
    QUEUE_FULL = 20  # a bounded queue between two parts of the program was full
    INTERFACE_DOWN = 21  # anything that meets an interface that is down
    SEND_FAILED = 22  # the operating system would not send a datagram
    TUN_REFUSED = 23  # the operating system would not accept a packet
    BAD_OUTBOUND = 24  # a frame from the TUN device that is not IP of the length it claims
    NO_KEY = 25  # the interface has no private key
    ROUTING_LOOP = 26  # an outgoing packet that is our own message to the very peer it would go to
