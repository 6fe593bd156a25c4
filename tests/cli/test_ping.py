"""`kubespan ping`: answers, silence, and peers that cannot be asked."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from kubespan.api.refusal import Reason, Refused
from kubespan.cli import ping as pings
from kubespan.cli.ping import ping


class Node:
    """Answers as it is told to."""

    def __init__(self, *answers: dict[str, Any] | Refused) -> None:
        self._answers = list(answers)

    def ping(self, _peer: str, _timeout: float) -> dict[str, Any]:
        answer = self._answers.pop(0)
        if isinstance(answer, Refused):
            raise answer
        return answer


ECHO = {"label": "w", "address": "fd00::2", "endpoint": "192.0.2.2:51820", "rtt": 0.0123}
SILENCE = Refused(Reason.TIMED_OUT, "no echo from w in 5 s")


@pytest.mark.parametrize(
    ("answers", "code", "lines"),
    [
        ([ECHO], 0, ["w: fd00::2 answered in 12.3 ms, by way of 192.0.2.2:51820"]),
        (
            [SILENCE, ECHO],
            0,
            ["no echo from w in 5 s", "w: fd00::2 answered in 12.3 ms"],
        ),
        ([SILENCE], 5, ["no echo from w in 5 s"]),
        ([Refused(Reason.WRONG, "there is no peer 'w'")], 2, ["kubespan: there is no peer 'w'"]),
    ],
)
def test_what_is_said(
    answers: list[Any], code: int, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pings, "Client", lambda: Node(*answers))
    monkeypatch.setattr(pings, "INTERVAL", 0.0)
    done = CliRunner().invoke(ping, ["w", "-n", str(len(answers))], standalone_mode=False)
    if done.exception is not None:
        assert getattr(done.exception, "exit_code", None) == code
        assert str(done.exception) == lines[0].removeprefix("kubespan: ")
    else:
        assert done.return_value == code
        for line in lines:
            assert line in done.output
