"""The client where there is no node, or not the right one, and what it costs to import."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kubespan.api import client
from kubespan.api.client import Client, default_socket
from kubespan.api.refusal import Reason, Refused


def asked(path: Path) -> tuple[Reason, str]:
    with pytest.raises(Refused) as caught:
        Client(str(path)).version()
    return caught.value.reason, str(caught.value)


@contextmanager
def stranger(says: bytes) -> Iterator[Path]:
    """Something that listens, and answers everybody the same."""
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as one:
        path = Path(directory) / "node.sock"
        one.bind(str(path))
        one.listen()

        def answer() -> None:
            connection, _ = one.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(says)

        thread = threading.Thread(target=answer)
        thread.start()
        yield path
        thread.join()


def http(status: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_nobody_there(tmp_path: Path) -> None:
    reason, text = asked(tmp_path / "none")
    assert reason is Reason.NOT_RUNNING
    assert text.startswith("no node is running, for nobody answers on ")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    assert asked(tmp_path / "dead")[0] is Reason.NOT_RUNNING


def test_not_permitted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(_: client._Connection) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(client._Connection, "connect", refuse)
    reason, text = asked(tmp_path / "s")
    assert reason is Reason.NOT_PERMITTED
    assert "do this as root, or as a member of its group" in text


def test_a_path_that_is_none(tmp_path: Path) -> None:
    reason, text = asked(tmp_path / ("x" * 200))
    assert (reason, "too long" in text) == (Reason.FAULT, True)


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (b"", Reason.NOT_RUNNING),
        (b"errno=0\n\n", Reason.FAULT),
        (http("200 OK", b"no json"), Reason.FAULT),
        (http("400 Bad Request", b'{"error":{"reason":"new","text":""}}'), Reason.FAULT),
        (http("400 Bad Request", b'{"error":{"reason":"wrong","text":"x"}}'), Reason.WRONG),
        (http("500 Internal Server Error", b"trace"), Reason.BUG),
    ],
)
def test_something_else_answers(says: bytes, reason: Reason) -> None:
    with stranger(says) as path:
        assert asked(path)[0] is reason


def test_no_answer_has_an_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def hang(_: client._Connection) -> None:
        raise TimeoutError

    monkeypatch.setattr(client._Connection, "connect", hang)
    assert asked(tmp_path / "s")[0] is Reason.TIMED_OUT


def test_where_a_node_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBESPAN_SOCKET", raising=False)
    assert default_socket() == "/run/kubespan/kubespan.sock"
    monkeypatch.setenv("KUBESPAN_SOCKET", "/elsewhere")
    assert default_socket() == "/elsewhere"


def test_a_command_imports_nothing_slow() -> None:
    slow = ("aiohttp", "asyncio", "grpc", "prometheus_client", "pydantic", "pyroute2", "yaml")
    program = (
        "import sys, kubespan.cli.main, kubespan.cli.get, kubespan.cli.status, kubespan.cli.wait;"
        f"print([name for name in {slow} if name in sys.modules])"
    )
    done = subprocess.run(
        (sys.executable, "-c", program), capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
