"""The configuration protocol with 130,560 allowed IPs on one peer: set, get, and set again."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from bench import prefixes
from kubespan import fastpath
from kubespan.api.uapi import answer
from kubespan.model.instant import Instant
from kubespan.wireguard.effects import Effect
from kubespan.wireguard.interface import Interface

PEER = "11" * 32


class Bare:
    """A `Target` with a core and nothing around it."""

    listen_port = 51820
    fwmark = 0

    def __init__(self) -> None:
        self.interface = Interface(fastpath.create_path(), os.urandom)

    def now(self) -> Instant:
        """The present moment."""
        return Instant(time.clock_gettime(time.CLOCK_BOOTTIME), time.time_ns())

    def perform(self, effects: list[Effect]) -> None:
        """Nothing: there is no network."""

    def set_listen_port(self, port: int) -> None:
        """Nothing: there is no network."""

    def set_fwmark(self, mark: int) -> None:
        """Nothing: there is no network."""

    def scope_id(self, name: str) -> int:  # noqa: ARG002 -- as the protocol asks
        """No interface has a number here."""
        return 0

    def counters(self) -> Mapping[str, int | str]:
        """None."""
        return {}


def _request() -> str:
    allowed = (f"allowed_ip={text}" for text in prefixes.texts())
    return "\n".join(["set=1", f"public_key={PEER}", "replace_allowed_ips=true", *allowed, ""])


def test_load(benchmark: Any) -> None:
    request = _request()

    def load() -> str:
        return answer(request, Bare()).text

    assert benchmark.pedantic(load, rounds=3) == "errno=0\n\n"


def test_load_again(benchmark: Any) -> None:
    request, target = _request(), Bare()
    answer(request, target)
    assert benchmark.pedantic(answer, args=(request, target), rounds=3).text == "errno=0\n\n"


def test_dump(benchmark: Any) -> None:
    target = Bare()
    answer(_request(), target)
    told = benchmark.pedantic(answer, args=("get=1\n", target), rounds=3).text
    assert told.count("allowed_ip=") == prefixes.COUNT
