"""A discovery service's URL, and what to dial for it. Talos: discovery service configuration.

No name is resolved. Path and query are allowed and mean nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from kubespan.model.errors import ConfigError

PORTS: Final = {"http": 80, "https": 443, "grpc": 443}
"""The port that a scheme means where none is written."""

PUBLIC_SERVICE: Final = "https://discovery.talos.dev/"
"""The service that everyone may use, and that the single document means where it names none."""

EXAMPLE: Final = "https://discovery.example.com"

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252})")
_VISIBLE: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a discovery service is, and how to speak to it."""

    address: str
    """`host:port`, an IPv6 address in brackets."""

    insecure: bool
    """Whether to speak without TLS: `http` only, `grpc` means TLS."""

    has_path: bool = False
    """Whether the URL names more than the service's root."""


def parse_target(url: str) -> Target:
    """Read `https://host`, `http://[::1]:3000/` or `grpc://host:443`. Raises ConfigError.

    The URL itself stays out of messages: it may hold a password.
    """
    parts = _split(url)
    if not parts.scheme or not (parts.netloc or url.lower().startswith(f"{parts.scheme}://")):
        raise ConfigError(f"write the scheme too, as in {EXAMPLE}")
    if parts.scheme not in PORTS:
        raise ConfigError(f"a discovery service has http, https or grpc; write {EXAMPLE}")
    host, port = _host(parts), _port(parts)
    address = f"{host}:{PORTS[parts.scheme] if port is None else port}"
    return Target(address, parts.scheme == "http", parts.path not in {"", "/"})


def _split(url: str) -> SplitResult:
    try:
        # urlsplit takes some characters out without a word.
        if _VISIBLE.fullmatch(url):
            return urlsplit(url)
    except ValueError:
        pass
    raise ConfigError(f"this is not a URL; write {EXAMPLE}")


def _host(parts: SplitResult) -> str:
    host = parts.netloc.rpartition("@")[2]
    if host.startswith("["):
        literal, _, behind = host[1:].partition("]")
        if not behind or behind.startswith(":"):
            return f"[{_ipv6(unquote(literal))}]"
    elif _HOST_NAME.fullmatch(name := host.partition(":")[0]):
        return name
    if not host.partition(":")[0]:
        raise ConfigError(f"write the host too, as in {EXAMPLE}")
    raise ConfigError("the host is a name, an IPv4 address, or an IPv6 address in brackets")


def _ipv6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError:
        raise ConfigError("only an IPv6 address can be in brackets; write [2001:db8::1]") from None


def _port(parts: SplitResult) -> int | None:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ConfigError("the port is a number from 1 to 65535, or left out")
    return port
