"""Fixtures of the node's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.lone import LoneNode
from tests.peers import need


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[LoneNode]:
    """A node that is not started yet."""
    need("ip", "nft")
    one = LoneNode(tmp_path)
    yield one
    one.close()
