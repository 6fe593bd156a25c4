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
        (("--peers", "2", "--timeout", "30"), 0, "2 peers are up\n", ""),
        (
            ("--peers", "3", "--timeout", "0.01"),
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


@pytest.mark.parametrize("wrong", [("--peers", "-1"), ("--timeout", "0"), ("--peers", "x")])
def test_wrong_usage(wrong: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("wait", *wrong)) == 2
    assert "Invalid value" in capsys.readouterr().err
