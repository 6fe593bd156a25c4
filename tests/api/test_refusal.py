"""Refusals: every reason has an answer's status and a command's exit code."""

from __future__ import annotations

from kubespan.api.application import STATUS
from kubespan.api.refusal import Reason, Refused
from kubespan.cli.failure import EXIT_CODES


def test_every_reason_means_something_everywhere() -> None:
    assert set(STATUS) == set(EXIT_CODES) == set(Reason)


def test_a_refusal_is_its_text_and_its_reason() -> None:
    error = Refused(Reason.WRONG, "write something else")
    assert (str(error), error.reason) == ("write something else", Reason.WRONG)
