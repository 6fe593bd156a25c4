"""Which packets are our own messages on their way round, and which only look like it."""

from __future__ import annotations

import pytest

from kubespan.wireguard.loop import is_own_message
from tests.wireguard.loops import ENDPOINTS, INDEX, OTHERS, ROUND_TRIPS


@pytest.mark.parametrize(("version", "packet"), ROUND_TRIPS)
def test_our_own_messages_are_known(version: int, packet: bytes) -> None:
    assert is_own_message(packet, ENDPOINTS[version], INDEX)


@pytest.mark.parametrize(("version", "packet"), OTHERS)
def test_everything_else_passes(version: int, packet: bytes) -> None:
    assert not is_own_message(packet, ENDPOINTS[version], INDEX)
