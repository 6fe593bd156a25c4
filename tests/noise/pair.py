"""Two ends of a handshake with fixed keys, and what tests do with them again and again."""

from __future__ import annotations

from dataclasses import dataclass

from kubespan.model.keys import PresharedKey, PrivateKey
from kubespan.noise.handshake import Handshake, LocalStatic, open_initiation
from kubespan.noise.messages import Initiation, Response
from kubespan.noise.tai64n import timestamp

PRESHARED = bytes(range(0x80, 0xA0))
START = 1_700_000_000_000_000_000
STEP = 20_000_000


def private_key(seed: int) -> PrivateKey:
    """Make a key of its own for each seed."""
    return PrivateKey(seed.to_bytes(32, "big"))


def moment(number: int) -> bytes:
    """Make a timestamp; a greater number is later."""
    return timestamp(START + number * STEP)


@dataclass
class Pair:
    """The state of both ends and who they are."""

    initiator_local: LocalStatic
    responder_local: LocalStatic
    initiator: Handshake
    responder: Handshake

    def initiation(self, number: int = 1) -> Initiation:
        """Create an initiation, later for a greater number."""
        datagram = self.initiator.create_initiation(
            ephemeral=private_key(0x1000 + number), local_index=number, timestamp=moment(number)
        )
        return Initiation.parse(datagram)

    def consume(self, initiation: Initiation, *, boot: float = 100.0) -> None:
        """Let the responder consume an initiation."""
        opened = open_initiation(self.responder_local, initiation)
        self.responder.consume_initiation(opened, initiation, boot=boot)

    def response(self, number: int = 1) -> Response:
        """Answer the consumed initiation."""
        datagram = self.responder.create_response(
            ephemeral=private_key(0x2000 + number), local_index=0x100 + number
        )
        return Response.parse(datagram)


def pair() -> Pair:
    """Two ends that share a preshared key and have not spoken yet."""
    initiator, responder = LocalStatic(private_key(1)), LocalStatic(private_key(2))
    ends = Pair(
        initiator,
        responder,
        Handshake(initiator, responder.public_key),
        Handshake(responder, initiator.public_key),
    )
    ends.initiator.preshared_key = PresharedKey(PRESHARED)
    ends.responder.preshared_key = PresharedKey(PRESHARED)
    return ends


def snapshot(handshake: Handshake) -> tuple[object, ...]:
    """Everything a handshake holds, as values that later changes cannot reach."""
    symmetric = handshake._symmetric
    ephemeral = handshake._ephemeral
    return (
        handshake.state,
        handshake.local_index,
        handshake.remote_index,
        handshake.latest_timestamp,
        handshake.last_initiation_consumed_at,
        handshake.preshared_key.raw,
        handshake.remote_static,
        handshake._remote_ephemeral,
        bytes(handshake._static_static),
        ephemeral and bytes(ephemeral._secret),
        symmetric and (bytes(symmetric.chaining_key), symmetric.hash),
        handshake._waiting,
    )
