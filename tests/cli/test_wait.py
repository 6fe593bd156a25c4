"""`kubespan wait`: what it says, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kubespan.cli.main import main
from tests.api.nodes import FakeNode
from tests.api.windows import Served, served


@pytest.fixture(scope="module")
def node() -> Iterator[Served]:
    with served(FakeNode(peers=3)) as one:
        yield one


@pytest.mark.parametrize(
    ("arguments", "code", "out", "err"),
    [
        ((), 0, "2 peers are up\n", ""),
        (("--peers", "2", "--timeout", "30s"), 0, "2 peers are up\n", ""),
        (
            ("--peers", "3", "--timeout", "10ms"),
            5,
            "",
            "kubespan: 2 of 3 peers are up after 0.01 s\n",
        ),
    ],
)
def test_waiting(
    node: Served,
    arguments: tuple[str, ...],
    code: int,
    out: str,
    err: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KUBESPAN_SOCKET", str(node.path))
    assert main(("wait", *arguments)) == code
    assert capsys.readouterr() == (out, err)


def test_one_peer_is_singular(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(FakeNode(peers=1)) as one:
        monkeypatch.setenv("KUBESPAN_SOCKET", str(one.path))
        assert main(("wait",)) == 0
    assert capsys.readouterr().out == "1 peer is up\n"


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (("--peers", "-1"), "Invalid value for '--peers'"),
        (("--peers", "x"), "Invalid value for '--peers'"),
        (("--timeout", "30"), "kubespan: --timeout '30' is not a duration; write 60s, 1m or"),
    ],
)
def test_wrong_usage(wrong: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("wait", *wrong)) == 2
    assert text in capsys.readouterr().err
