"""A refusal carries the status of the stock service."""

from __future__ import annotations

import grpc
import pytest

from kubespan.discovery.server.refusal import Refusal, RefusalCode


@pytest.mark.parametrize("code", RefusalCode)
def test_codes_are_those_of_grpc(code: RefusalCode) -> None:
    assert grpc.StatusCode[code.name].value[0] == code.value


def test_message_is_what_is_printed() -> None:
    refusal = Refusal(RefusalCode.INVALID_ARGUMENT, "no such thing")
    assert (str(refusal), refusal.message, refusal.code) == (
        "no such thing",
        "no such thing",
        RefusalCode.INVALID_ARGUMENT,
    )
