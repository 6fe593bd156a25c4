"""What every test of the native data path stands on: the built module and a fresh path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kubespan import fastpath

if not fastpath.NATIVE:
    collect_ignore = [
        "test_aead.py",
        "test_gate.py",
        "test_grouping.py",
        "test_lanes.py",
        "test_line.py",
        "test_native.py",
        "test_queues.py",
        "test_twins.py",
    ]


@pytest.fixture
def path() -> Any:
    return fastpath.create_path()


@pytest.fixture
def keypair(path: Any) -> Callable[..., Any]:
    def create(local_index: int = 1, **changes: Any) -> Any:
        values: dict[str, Any] = {
            "send_key": bytes(32),
            "receive_key": bytes(range(32)),
            "local_index": local_index,
            "remote_index": 2,
            "is_initiator": True,
            "created_at": 100.0,
        }
        return path.create_keypair(**values | changes)

    return create
