"""Sessions for unit tests: two keypairs that understand each other, and sessions by name only."""

from __future__ import annotations

from kubespan.wireguard.keypair import PureKeypair

ONE_KEY, OTHER_KEY = bytes(range(32)), bytes(range(32, 64))


def keypair(
    local_index: int = 1,
    *,
    is_initiator: bool = True,
    created_at: float = 1000.0,
    remote_index: int = 2,
) -> PureKeypair:
    """Make one end of a session."""
    return PureKeypair(
        send_key=ONE_KEY if is_initiator else OTHER_KEY,
        receive_key=OTHER_KEY if is_initiator else ONE_KEY,
        local_index=local_index,
        remote_index=remote_index,
        is_initiator=is_initiator,
        created_at=created_at,
    )


def both_ends() -> tuple[PureKeypair, PureKeypair]:
    """Make the two ends of one session, initiator first."""
    return keypair(1, remote_index=2), keypair(2, remote_index=1, is_initiator=False)
