"""A target of requests without sockets: a real core, and a note of everything else it was asked."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from random import Random

from kubespan.api.uapi import Answer, RequestReader, answer
from kubespan.model.errors import ConfigError, SystemFault
from kubespan.model.instant import Instant
from kubespan.model.keys import PrivateKey, PublicKey
from kubespan.wireguard.effects import Effect
from kubespan.wireguard.interface import Interface
from kubespan.wireguard.peer import Peer
from kubespan.wireguard.purepath import PurePath

TAKEN_PORT = 666
REFUSED_MARK = 13
SCOPES = {"eth0": 2}

OUR_KEY = PrivateKey(bytes(range(32)))
ONE, OTHER = (PublicKey(bytes((number,)) * 32) for number in (1, 2))


class Desk:
    """A target that keeps what it is told and refuses one port and one mark."""

    def __init__(self) -> None:
        self.interface = Interface(PurePath(), Random(1).randbytes)
        self.listen_port = 0
        self.fwmark = 0
        self.performed: list[Effect] = []

    def now(self) -> Instant:
        return Instant(1000.0, 10**18)

    def perform(self, effects: list[Effect]) -> None:
        self.performed += effects

    def set_listen_port(self, port: int) -> None:
        if port == TAKEN_PORT:
            raise SystemFault("listen", errno.EADDRINUSE)
        self.listen_port = port

    def set_fwmark(self, mark: int) -> None:
        if mark == REFUSED_MARK:
            raise SystemFault("mark", errno.EPERM)
        self.fwmark = mark

    def scope_id(self, name: str) -> int:
        if name not in SCOPES:
            raise ConfigError(f"no interface {name}")
        return SCOPES[name]

    def counters(self) -> Mapping[str, int | str]:
        return {"drop_bad_tag": 7}

    # What tests ask.

    def request(self, *lines: str) -> Answer:
        """Answer one request of these lines."""
        (request,) = RequestReader().requests(
            "".join(f"{line}\n" for line in (*lines, "")).encode()
        )
        return answer(request, self)

    def set(self, *lines: str) -> int:
        """Send a set request and return its errno."""
        text = self.request("set=1", *lines).text
        assert text.startswith("errno=")
        assert text.endswith("\n\n")
        return int(text[6:-2])

    def get(self) -> list[tuple[str, str]]:
        """Send a get request and return its keys and values, without the errno."""
        lines = self.request("get=1").text.removesuffix("errno=0\n\n").splitlines()
        pairs = [line.partition("=") for line in lines]
        return [(key, value) for key, _, value in pairs]

    def shown(self, key: str) -> list[str]:
        """Return all values of one key."""
        return [value for known, value in self.get() if known == key]

    def peer(self, public_key: PublicKey = ONE) -> Peer:
        """Return a peer that is configured."""
        return self.interface.peers[public_key]

    def prefixes(self, public_key: PublicKey = ONE) -> list[str]:
        """Return the allowed IPs of a peer."""
        return [str(p) for p in self.interface.allowed_ips.prefixes(self.peer(public_key))]


def section(public_key: PublicKey = ONE) -> str:
    """Return the line that begins the section of a peer."""
    return f"public_key={public_key.hex()}"
