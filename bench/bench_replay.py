"""The replay window: 10,000 counters in order, and shuffled as far as the window allows."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from bench import native
from kubespan.wireguard.replay import ReplayWindow

COUNT = 10_000
REACH = 4_000

_fastpath = native.load()
IMPLEMENTATIONS = ["pure"] if _fastpath is None else ["pure", "native"]


def _window(implementation: str) -> Callable[[int], bool]:
    if implementation == "pure":
        return ReplayWindow().accept
    assert _fastpath is not None
    keypair = _fastpath.Keypair(_fastpath.Table(), bytes(32), bytes(32), 1, 2, True, 0.0)
    accept: Callable[[int], bool] = keypair.accept
    return accept


def _shuffled() -> list[int]:
    rough = random.Random(1)
    return sorted(range(COUNT), key=lambda counter: counter + rough.randrange(REACH))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("order", ["in order", "shuffled"])
def test_accept(benchmark: Any, implementation: str, order: str) -> None:
    benchmark.group = f"replay window, {order}"
    counters = list(range(COUNT)) if order == "in order" else _shuffled()

    def fresh() -> tuple[tuple[Callable[[int], bool]], dict[str, Any]]:
        return (_window(implementation),), {}

    def accept_all(accept: Callable[[int], bool]) -> int:
        return sum(map(accept, counters))

    assert benchmark.pedantic(accept_all, setup=fresh, rounds=50) == COUNT
