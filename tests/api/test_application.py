"""What is where, and how a refusal is put."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kubespan.api.client import Client
from kubespan.api.refusal import Reason, Refused
from kubespan.model.errors import InternalError, SystemFault
from tests.api.nodes import FakeNode
from tests.api.windows import served


def test_checks() -> None:
    node = FakeNode()
    node.is_ready = False
    with served(node) as one:
        checks = ("live", "ready", "startup")
        assert [one.client.holds(check) for check in checks] == [True, False, True]


def test_metrics() -> None:
    with served() as one, one.client._asked("GET", "/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain")
        assert b"kubespan_mtu_bytes 1420.0\n" in response.read()


@pytest.mark.parametrize(
    ("method", "target", "text"),
    [
        ("GET", "/v1/nothing", "GET /v1/nothing: Not Found"),
        ("POST", "/v1/status", "POST /v1/status: Method Not Allowed"),
    ],
)
def test_questions_that_there_are_not(method: str, target: str, text: str) -> None:
    with served() as one:
        with pytest.raises(Refused, match=text) as caught:
            one.client._answer(method, target)
        assert caught.value.reason is Reason.WRONG


class FailingNode(FakeNode):
    """A node that cannot."""

    def __init__(self, failure: Exception) -> None:
        super().__init__()
        self.failure = failure

    async def apply(self, text: bytes, *, dry_run: bool) -> Any:
        await super().apply(text, dry_run=dry_run)
        raise self.failure


@pytest.mark.parametrize(
    ("failure", "reason", "text"),
    [
        (SystemFault("set the MTU", 19), Reason.FAULT, "set the MTU: No such device"),
        (InternalError("a secret detail"), Reason.BUG, "the node failed at this, and its log"),
    ],
)
def test_what_goes_wrong_inside(failure: Exception, reason: Reason, text: str) -> None:
    with served(FailingNode(failure)) as one:
        with pytest.raises(Refused, match=text) as caught:
            one.client.apply(b"")
        assert caught.value.reason is reason


def test_a_socket_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        Client(str(tmp_path)).version()
