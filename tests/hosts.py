"""A host's links, as tests need them."""

from __future__ import annotations

from typing import Final

from kubespan.model.host import Link, OperationalState

CARD: Final = Link(
    index=2,
    name="eth0",
    is_ethernet=True,
    kind="",
    mac=bytes.fromhex("00005e005301"),
    is_up=True,
    has_carrier=True,
    state=OperationalState.UP,
)
"""A network card that works."""
