"""Discovery URLs: what to dial for them, and what none of them is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.config.target import PUBLIC_SERVICE, Target, parse_target
from kubespan.model.errors import ConfigError

TARGETS = [
    ("https://h", "h:443", False),
    ("http://h", "h:80", True),
    ("grpc://h", "h:443", False),
    ("http://[::1]", "[::1]:80", True),
    ("https://h:6443/p?q", "h:6443", False),
    ("HTTPS://h", "h:443", False),
    ("grpc://h:3000", "h:3000", False),
    ("https://h:", "h:443", False),
    ("https://[2001:DB8::1]:65535/", "[2001:db8::1]:65535", False),
    ("http://[fe80::1%25eth0]:3000", "[fe80::1%eth0]:3000", True),
    ("https://user:word@h:1", "h:1", False),
    ("https://192.0.2.1", "192.0.2.1:443", False),
    (PUBLIC_SERVICE, "discovery.talos.dev:443", False),
]


@pytest.mark.parametrize(("url", "address", "insecure"), TARGETS)
def test_what_to_dial(url: str, address: str, insecure: bool) -> None:
    target = parse_target(url)
    assert (target.address, target.insecure) == (address, insecure)


@pytest.mark.parametrize(
    ("url", "has_path"),
    [("https://h", False), ("https://h/", False), ("https://h/p", True), ("https://h?q", False)],
)
def test_whether_there_is_a_path(url: str, has_path: bool) -> None:
    assert parse_target(url).has_path is has_path


REFUSED = [
    ("discovery.example.com", "write the scheme too"),
    ("discovery.example.com:443", "write the scheme too"),
    ("//h", "write the scheme too"),
    ("ftp://h", "a discovery service has http, https or grpc"),
    ("ftp:///p", "a discovery service has http, https or grpc"),
    ("https://", "write the host too"),
    ("https:///p", "write the host too"),
    ("https://:443", "write the host too"),
    ("https://[", "this is not a URL"),
    ("https://[::1", "this is not a URL"),
    ("https://h h", "this is not a URL"),
    ("https://h\n", "this is not a URL"),
    ("https://h\u00e9", "this is not a URL"),
    ("", "this is not a URL"),
    ("https://[::1]x", "the host is a name"),
    ("https://h*", "the host is a name"),
    ("https://2001:db8::1", "the port is a number"),
    ("https://h:0", "the port is a number"),
    ("https://h:65536", "the port is a number"),
    ("https://h:x", "the port is a number"),
]


@pytest.mark.parametrize(("url", "message"), REFUSED)
def test_what_cannot_be_dialled(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        parse_target(url)


def test_an_address_in_brackets_is_one_of_ipv6() -> None:
    with pytest.raises(ConfigError, match=r"not a URL|only an IPv6 address"):
        parse_target("https://[h]")
    with pytest.raises(ConfigError, match=r"not a URL|only an IPv6 address"):
        parse_target("https://[v1.x]")


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as raised:
        parse_target("ftp://user:hush@h")
    assert "hush" not in str(raised.value)


@given(st.text() | st.from_regex(r"(https?|grpc|x)://[^/]{0,9}[/?#:@\[\]]?.*"))
def test_nothing_but_a_mistake_comes_of_any_text(url: str) -> None:
    try:
        target = parse_target(url)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017  or it is right
    else:
        assert isinstance(target, Target)
        assert 1 <= int(target.address.rpartition(":")[2]) <= 65535
