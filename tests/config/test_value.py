"""Values: what they are read as, and that nothing is said twice or repeated that may be secret."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest

from kubespan.config.value import (
    attempt,
    is_domain,
    parse_address,
    parse_domain,
    parse_endpoint,
    parse_peer_endpoint,
    read,
    read_all,
)
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.errors import ConfigError
from tests.config.reading import SECRET, messages, view

RIGHT: list[tuple[Callable[[str], object], str, object]] = [
    (parse_address, "192.0.2.1", IPv4Address("192.0.2.1")),
    (parse_address, "2001:db8::1", IPv6Address("2001:db8::1")),
    (parse_endpoint, "192.0.2.1:1", Endpoint(IPv4Address("192.0.2.1"), 1)),
    (parse_endpoint, "[::1]:65535", Endpoint(IPv6Address("::1"), 65535)),
    (parse_peer_endpoint, "127.0.0.1:1", Endpoint(IPv4Address("127.0.0.1"), 1)),
    (parse_peer_endpoint, "169.254.0.1:1", Endpoint(IPv4Address("169.254.0.1"), 1)),
    (parse_peer_endpoint, "[fe80::1%3]:1", Endpoint(IPv6Address("fe80::1"), 1, 3)),
    (parse_domain, "a", "a"),
    (parse_domain, "worker-1.example.com", "worker-1.example.com"),
]


@pytest.mark.parametrize(("parser", "text", "value"), RIGHT)
def test_what_is_right(parser: Callable[[str], object], text: str, value: object) -> None:
    assert parser(text) == value


WRONG: list[tuple[Callable[[str], object], str, str]] = [
    (parse_address, "fe80::1%eth0", "write 192.0.2.1 or 2001:db8::1"),
    (parse_address, "192.0.2.1/24", "write 192.0.2.1 or 2001:db8::1"),
    (parse_address, "", "write 192.0.2.1 or 2001:db8::1"),
    (parse_endpoint, "192.0.2.1:0", "write one from 1 to 65535"),
    (parse_endpoint, "192.0.2.1", "write 192.0.2.1:51820"),
    (parse_endpoint, "host:1", "write 192.0.2.1:51820"),
    (parse_peer_endpoint, "192.0.2.1:0", "write one from 1 to 65535"),
    (
        parse_peer_endpoint,
        "[fe80::1]:1",
        "write the number of the interface too, as in [fe80::1%3]",
    ),
    *(
        (parse_peer_endpoint, text, "is never another host; write where the peer is reached")
        for text in (
            *("0.0.0.0:1", "[::]:1", "255.255.255.255:1"),
            *("224.0.0.1:1", "[ff02::1%3]:1", "[::ffff:0.0.0.0]:1"),
        )
    ),
    (parse_domain, "A", "write small letters"),
    (parse_domain, "-a", "write small letters"),
    (parse_domain, "a..b", "write small letters"),
    (parse_domain, "a" * 64, "64 characters that may be a secret is not a name"),
    (parse_domain, "a.b\n", "write small letters"),
]


@pytest.mark.parametrize(("parser", "text", "message"), WRONG)
def test_what_is_wrong(parser: Callable[[str], object], text: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parser(text)
    assert message in str(raised.value)


def test_names_are_not_too_long() -> None:
    assert is_domain(".".join(["a" * 50] * 4))
    assert not is_domain(".".join(["a" * 50] * 5))


def test_a_value_is_read_or_a_mistake_is_said() -> None:
    looked_at = view("x", "K")
    assert read(looked_at, "192.0.2.1", parse_address) == IPv4Address("192.0.2.1")
    assert messages(looked_at) == []
    assert read(looked_at, "x", parse_address) is None
    assert messages(looked_at) == ["K: 'x' is not an address; write 192.0.2.1 or 2001:db8::1"]


@pytest.mark.parametrize("text", [SECRET, "1 " * 60])
def test_a_value_that_cannot_be_right_is_not_repeated(text: str) -> None:
    looked_at = view("x", "K")
    assert read(looked_at, text, Prefix.parse) is None
    (message,) = messages(looked_at)
    assert message.endswith(" cannot be right here")
    assert text not in message


def test_of_what_is_known_to_be_wrong_nothing_more_is_said() -> None:
    looked_at = view("x", "K")
    looked_at.mistake("write y")
    assert attempt(looked_at, "192.0.2.1", parse_address) is None
    assert read(looked_at, SECRET, parse_address) is None
    assert messages(looked_at) == ["K: write y"]


def test_all_wrong_items_are_said() -> None:
    items = ("10.0.0.0/8", "x", "::/0", "y/1")
    looked_at = view(list(items), "K")
    assert read_all(looked_at, items, Prefix.parse) == (
        Prefix.parse("10.0.0.0/8"),
        Prefix.parse("::/0"),
    )
    assert [message.partition(":")[0] for message in messages(looked_at)] == ["K[1]", "K[3]"]
    assert read_all(looked_at, None, Prefix.parse) == ()
