"""A redirect names a host and a port, and nothing else that gRPC would follow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.discovery.client.redirect import LONGEST_TARGET, redirect_target


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        ("discovery.example:443", "discovery.example:443"),
        ("discovery.example", "discovery.example:443"),
        ("192.0.2.1:3000", "192.0.2.1:3000"),
        ("[2001:db8::1]:3000", "[2001:db8::1]:3000"),
        ("[2001:db8::1]", "[2001:db8::1]:443"),
    ],
)
def test_host_and_port(endpoint: str, target: str) -> None:
    assert redirect_target(endpoint) == target


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "unix:/run/other.sock",
        "unix-abstract:x",
        "dns:///discovery.example:443",
        "https://discovery.example:443",
        "host:0",
        "host:65536",
        "host:443\n",
        "2001:db8::1",
        "a b:1",
        "x" * 254 + ":1",
    ],
)
def test_nothing_else(endpoint: str) -> None:
    assert redirect_target(endpoint) is None


@given(st.text())
def test_no_text_is_too_strange(endpoint: str) -> None:
    target = redirect_target(endpoint)
    assert target is None or len(target) <= LONGEST_TARGET
