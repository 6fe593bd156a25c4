"""Where a server listens: read from an option, and tried before a library is let loose on it.

`:PORT` is every address of this machine, IPv4 and IPv6. A port that cannot be had is one clear
error, which libraries hide in text of their own.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from kubespan.model.address import Endpoint
from kubespan.model.errors import ConfigError, SystemFault

ADVICE: Final = {
    errno.EADDRINUSE: "another program has that port; end it, or write another port",
    errno.EACCES: "a port below 1024 needs root or CAP_NET_BIND_SERVICE; write a higher one",
    errno.EADDRNOTAVAIL: "this machine has no such address; write one of its own, or :PORT",
}


@dataclass(frozen=True, slots=True)
class Listening:
    """An address and a port, and the option that said so. Port 0 is any that is free."""

    endpoint: Endpoint
    option: str

    @classmethod
    def parse(cls, text: str, option: str) -> Listening:
        """Read `:3000`, `192.0.2.1:3000` or `[2001:db8::1]:3000`. Raises ConfigError."""
        try:
            return cls(Endpoint.parse(f"[::]{text}" if text.startswith(":") else text), option)
        except ConfigError:
            raise ConfigError(
                f"{option} {text!r} is not an address to listen on;"
                " write :3000, 192.0.2.1:3000 or [2001:db8::1]:3000"
            ) from None

    def with_port(self, port: int) -> Listening:
        """Return the same with the port that was found free."""
        return Listening(Endpoint(self.endpoint.address, port, self.endpoint.scope_id), self.option)

    def bind(self) -> socket.socket:
        """Return a socket that listens there. Raises SystemFault, which names the option."""
        try:
            return _bind(self.endpoint)
        except OSError as error:
            advice = ADVICE.get(error.errno or 0)
            what = f"{self.option} {self}" + (f" ({advice})" if advice else "")
            raise SystemFault(what, error.errno or 0) from error

    def __str__(self) -> str:
        return str(self.endpoint)


def _bind(endpoint: Endpoint) -> socket.socket:
    host, port = str(endpoint.address), endpoint.port
    if not isinstance(endpoint.address, IPv6Address):
        return socket.create_server((host, port))
    if endpoint.address != IPv6Address("::"):
        return socket.create_server((host, port, 0, endpoint.scope_id), family=socket.AF_INET6)
    if socket.has_dualstack_ipv6():
        return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("0.0.0.0", port))  # noqa: S104  all addresses were asked for
