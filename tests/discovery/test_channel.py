"""Which channels go through a proxy, and how silence is noticed."""

from __future__ import annotations

import pytest

from kubespan.discovery.channel import OPTIONS, is_local


@pytest.mark.parametrize(
    ("target", "local"),
    [
        ("127.0.0.1:3000", True),
        ("127.8.9.10:3000", True),
        ("[::1]:3000", True),
        ("localhost:3000", True),
        ("192.0.2.1:3000", False),
        ("[2001:db8::1]:3000", False),
        ("discovery.example:443", False),
    ],
)
def test_targets_on_this_host_need_no_proxy(target: str, local: bool) -> None:
    assert is_local(target) == local


def test_pings_are_as_rare_as_the_official_client_s() -> None:
    options = dict(OPTIONS)
    assert options["grpc.keepalive_time_ms"] == 180_000
    assert options["grpc.keepalive_timeout_ms"] == 20_000
    assert options["grpc.max_receive_message_length"] == 16 << 20
