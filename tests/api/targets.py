"""A target for requests that has a real core, and nothing around it but notes."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from kubespan.api.change import Change
from kubespan.api.uapi import answer
from kubespan.model.errors import ConfigError, SystemFault
from kubespan.model.instant import Instant
from kubespan.model.keys import PrivateKey, PublicKey
from kubespan.wireguard.effects import Effect
from kubespan.wireguard.interface import Interface
from kubespan.wireguard.peer import Peer
from kubespan.wireguard.purepath import PurePath

NOW = Instant(1000.0, 10**18)


class FakeTarget:
    """Notes what it is asked for; `fault` is what the system says to a port or a mark."""

    def __init__(self) -> None:
        self.interface = Interface(PurePath(), Random(0).randbytes)
        self.listen_port = 0
        self.fwmark = 0
        self.told: dict[str, int | str] = {}
        self.performed: list[Effect] = []
        self.fault: SystemFault | None = None

    def now(self) -> Instant:
        return NOW

    def perform(self, effects: list[Effect]) -> None:
        self.performed += effects

    def set_listen_port(self, port: int) -> None:
        self._may_fail()
        self.listen_port = port

    def set_fwmark(self, mark: int) -> None:
        self._may_fail()
        self.fwmark = mark

    def scope_id(self, name: str) -> int:
        if name != "eth7":
            raise ConfigError(f"there is no interface {name!r}")
        return 7

    def counters(self) -> Mapping[str, int | str]:
        return self.told

    def _may_fail(self) -> None:
        if self.fault is not None:
            raise self.fault


def private_key(number: int) -> PrivateKey:
    return PrivateKey(number.to_bytes(16, "big") * 2)


def public_key(number: int) -> PublicKey:
    return private_key(number).public_key


def begin(number: int) -> str:
    """Return the line that begins the section of a peer."""
    return f"public_key={public_key(number).hex()}"


def apply(target: FakeTarget, *lines: str) -> None:
    """Apply the lines of one set request that is not refused."""
    change = Change(target)
    for line in lines:
        change.apply(line)
    change.end()


def set_text(target: FakeTarget, *lines: str) -> str:
    """Return the answer to a set request of these lines."""
    return answer("".join(f"{line}\n" for line in ("set=1", *lines)), target).text


def peer(target: FakeTarget, number: int) -> Peer:
    return target.interface.peers[public_key(number)]


def prefixes(target: FakeTarget, number: int) -> list[str]:
    """Return the allowed IPs of a peer, in order."""
    found = target.interface.allowed_ips.prefixes(peer(target, number))
    return sorted(str(prefix) for prefix in found)


def running() -> FakeTarget:
    """Return a target whose interface has a key and is up."""
    target = FakeTarget()
    target.interface.set_private_key(private_key(1), NOW)
    target.interface.set_up(NOW)
    return target
