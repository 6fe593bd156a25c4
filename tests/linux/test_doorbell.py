"""The doorbell: it rings for our table, whoever touches it, and for nothing else."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from errno import ENETDOWN, ENOBUFS
from typing import Any

import pytest

from kubespan.linux.doorbell import Doorbell
from kubespan.model.errors import SystemFault
from tests.netns.namespace import Namespace
from tests.peers import need

WAIT = 10.0
RULES = "table inet kubespan { chain c { accept; }; }"


@pytest.fixture
def doorbell(namespace: Namespace) -> Iterator[Doorbell]:
    need("nft")
    made = namespace.inside(Doorbell)
    yield made
    made.close()


def rings(doorbell: Doorbell) -> bool:
    """Wait until there is something to hear, and say what it was."""
    assert select.select([doorbell], [], [], WAIT)[0]
    return doorbell.has_rung()


@pytest.mark.netns
def test_every_change_of_our_table(namespace: Namespace, doorbell: Doorbell) -> None:
    assert not doorbell.has_rung()
    for change in (
        RULES,
        "add rule inet kubespan c drop",
        "flush chain inet kubespan c",
        "add set inet kubespan s { type ipv4_addr; }",
        "add element inet kubespan s { 10.0.0.1 }",
        "delete element inet kubespan s { 10.0.0.1 }",
        "flush ruleset",
    ):
        namespace.nft(change)
        assert rings(doorbell), change
        assert not doorbell.has_rung()


@pytest.mark.netns
def test_tables_of_others(namespace: Namespace, doorbell: Doorbell) -> None:
    namespace.nft("table inet kubespan2 { chain c { accept; }; }; table ip talos {}")
    assert not rings(doorbell)


class Line:
    """Stands for a socket: what it gives, one after another."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    def recv(self, _: int) -> bytes:
        answer: bytes | OSError = self._answers.pop(0) if self._answers else BlockingIOError()
        if isinstance(answer, OSError):
            raise answer
        return answer

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


@pytest.mark.parametrize(
    ("answers", "rung"),
    [
        ([], False),
        ([b"kubespan"], False),
        ([b"..kubespan\0..", b"other"], True),
        ([OSError(ENOBUFS, "lost"), b"other"], True),
        ([b"other", OSError(ENETDOWN, "down")], True),
    ],
)
def test_what_counts(monkeypatch: pytest.MonkeyPatch, answers: list[Any], rung: bool) -> None:
    monkeypatch.setattr(socket, "socket", lambda *_: Line(*answers))
    assert Doorbell().has_rung() is rung


def test_a_kernel_without_nftables(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> socket.socket:
        raise OSError(93, "Protocol not supported")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(SystemFault, match="listen to nftables"):
        Doorbell()
