"""Values inside a section: text to addresses, prefixes and names, or a mistake and None.

Whatever is read here may be a secret in the wrong place, so that it is looked at before any parser
repeats it in a message.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final, TypeVar

from kubespan.config.mistake import LONGEST_QUOTE, looks_like_a_key, quote
from kubespan.config.tree import View
from kubespan.model.address import Endpoint, IPAddress
from kubespan.model.errors import ConfigError

_Value = TypeVar("_Value")

_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*")
LONGEST_DOMAIN: Final = 253


def read(view: View, text: str, parser: Callable[[str], _Value]) -> _Value | None:
    """Return what a parser makes of a text, None where it raises ConfigError, which is said."""
    if not view.is_wrong and (looks_like_a_key(text) or len(text) > LONGEST_QUOTE):
        view.mistake(f"{quote(text)} cannot be right here")
        return None
    return attempt(view, text, parser)


def attempt(view: View, text: str, parser: Callable[[str], _Value]) -> _Value | None:
    """Return what a parser makes of a text, which it never repeats if that may be a secret.

    Of what is known to be wrong nothing more is said.
    """
    if view.is_wrong:
        return None
    try:
        return parser(text)
    except ConfigError as error:
        view.mistake(str(error))
        return None


def read_all(
    view: View, texts: tuple[str, ...] | None, parser: Callable[[str], _Value]
) -> tuple[_Value, ...]:
    """Return what a parser makes of each item of a list, without those that it refuses."""
    values = (read(view.at(index), text, parser) for index, text in enumerate(texts or ()))
    return tuple(value for value in values if value is not None)


def parse_endpoint(text: str) -> Endpoint:
    """Read an address and a port, which is not 0. Raises ConfigError."""
    endpoint = Endpoint.parse(text)
    if endpoint.port == 0:
        raise ConfigError(f"{text!r} has no port to send to; write one from 1 to 65535")
    return endpoint


def parse_peer_endpoint(text: str) -> Endpoint:
    """Read an endpoint at which another host may be, or a relay on this one. Raises ConfigError."""
    endpoint = parse_endpoint(text)
    if endpoint.is_another_host or endpoint.address.is_loopback:
        return endpoint
    if endpoint.address.is_link_local:
        raise ConfigError(
            f"{text!r} is on one link only; write the number of the interface too, as in"
            " [fe80::1%3]:51820"
        )
    raise ConfigError(
        f"{text!r} is never another host; write where the peer is reached, such as 192.0.2.1:51820"
    )


def parse_address(text: str) -> IPAddress:
    """Read an address without a zone. Raises ConfigError."""
    try:
        if "%" not in text:
            return ip_address(text)
    except ValueError:
        pass
    raise ConfigError(f"{text!r} is not an address; write 192.0.2.1 or 2001:db8::1")


def is_domain(text: str) -> bool:
    """Whether this is a name of DNS in small letters, at most 253 characters."""
    return len(text) <= LONGEST_DOMAIN and _DOMAIN.fullmatch(text) is not None


def parse_domain(text: str) -> str:
    """Check that this is a name of DNS in small letters. Raises ConfigError."""
    if is_domain(text):
        return text
    raise ConfigError(
        f"{quote(text)} is not a name; write small letters, digits and -, in parts of at most 63"
        " joined by dots"
    )
