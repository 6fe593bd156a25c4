"""Errors carry what their handler needs."""

from __future__ import annotations

from errno import EADDRINUSE

import pytest

from kubespan.model.drop import DropReason
from kubespan.model.errors import (
    ConfigError,
    InternalError,
    KubespanError,
    ProtocolError,
    SystemFault,
)

FAMILIES = (ProtocolError, ConfigError, InternalError, SystemFault)


def test_a_protocol_error_carries_its_reason() -> None:
    error = ProtocolError(DropReason.BAD_AEAD)
    assert error.reason is DropReason.BAD_AEAD
    assert str(error) == "BAD_AEAD"


def test_a_system_fault_names_operation_and_cause() -> None:
    fault = SystemFault("bind UDP port 51820", EADDRINUSE)
    assert (fault.operation, fault.errno) == ("bind UDP port 51820", EADDRINUSE)
    assert str(fault) == "bind UDP port 51820: Address already in use"


@pytest.mark.parametrize("family", FAMILIES)
def test_no_family_is_caught_as_another(family: type[KubespanError]) -> None:
    assert issubclass(family, KubespanError)
    assert not any(issubclass(family, other) for other in FAMILIES if other is not family)
