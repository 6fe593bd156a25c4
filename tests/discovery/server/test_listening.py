"""Where a server listens, and what is said when it cannot."""

from __future__ import annotations

import errno
import os
import socket
from unittest import mock

import pytest

from kubespan.discovery.server.listening import Listening
from kubespan.model.errors import ConfigError, SystemFault


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (":3000", "[::]:3000"),
        ("0.0.0.0:3000", "0.0.0.0:3000"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("[::1]:65535", "[::1]:65535"),
    ],
)
def test_address_is_read(text: str, shown: str) -> None:
    assert str(Listening.parse(text, "--listen")) == shown


@pytest.mark.parametrize(
    "text", ["", ":", "3000", "localhost:3000", ":65536", ":-1", "::1:3000", "1.2.3.4", ":http"]
)
def test_what_is_no_address_is_the_operators_mistake(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--metrics .* write :3000"):
        Listening.parse(text, "--metrics")


@pytest.mark.parametrize("text", [":0", "127.0.0.1:0", "[::1]:0"])
def test_socket_listens_there(text: str) -> None:
    with Listening.parse(text, "--listen").bind() as one:
        port = one.getsockname()[1]
        host = "::1" if text.startswith("[") else "127.0.0.1"
        socket.create_connection((host, port), timeout=10).close()


def test_every_address_is_ipv6_too() -> None:
    with Listening.parse(":0", "--listen").bind() as one:
        socket.create_connection(("::1", one.getsockname()[1]), timeout=10).close()


def test_without_ipv6_every_address_is_ipv4() -> None:
    with (
        mock.patch("socket.has_dualstack_ipv6", return_value=False),
        Listening.parse(":0", "--listen").bind() as one,
    ):
        assert one.family == socket.AF_INET


def test_port_that_somebody_has_is_said() -> None:
    with Listening.parse("127.0.0.1:0", "--listen").bind() as one:
        other = Listening.parse("127.0.0.1:0", "--listen").with_port(one.getsockname()[1])
        with pytest.raises(
            SystemFault, match=r"--listen 127.0.0.1:\d+ \(another program"
        ) as caught:
            other.bind()
    assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, r"--listen \[::\]:80 \(a port below 1024 needs root"),
        (errno.EADDRNOTAVAIL, "this machine has no such address"),
        (errno.ENOBUFS, r"--listen \[::\]:80: "),
    ],
)
def test_other_failure_is_said(number: int, said: str) -> None:
    refusal = OSError(number, os.strerror(number))
    with (
        mock.patch("socket.create_server", side_effect=refusal),
        pytest.raises(SystemFault, match=said) as caught,
    ):
        Listening.parse(":80", "--listen").bind()
    assert caught.value.errno == number


def test_address_of_another_machine_cannot_be_listened_on() -> None:
    with pytest.raises(SystemFault, match="this machine has no such address"):
        Listening.parse("192.0.2.1:0", "--listen").bind()
