"""A set request of the configuration protocol: each line a change, taking effect at once.

Reads lines and calls the core; no I/O. Which keys may stand where is in two tables at the end.
https://www.wireguard.com/xplatform/, wireguard-go device/uapi.go for what tools rely on.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

from kubespan.api.target import Target
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.errors import ConfigError, KubespanError, SystemFault
from kubespan.model.keys import PresharedKey, PrivateKey, PublicKey
from kubespan.wireguard.effects import Effect
from kubespan.wireguard.peer import Peer

LONGEST_KEY: Final = 32
_NO_KEY: Final = "0" * 64
_GREATEST_PORT: Final = 2**16 - 1
_GREATEST_MARK: Final = 2**32 - 1


class Refused(KubespanError):
    """A line that is not taken."""

    def __init__(self, errno: int, message: str) -> None:
        super().__init__(message)
        self.errno = errno


class Change:
    """One set request: applies its lines and knows whose section it is in."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._interface = target.interface
        self._peer: Peer | None = None
        self._is_new = False
        self._keepalive_turned_on = False
        self._scope = _DEVICE_KEYS

    def apply(self, line: str) -> None:
        """Do what one line says. Raises KubespanError, and then it did nothing."""
        key, equals, value = line.partition("=")
        if not equals:
            raise Refused(errno.EPROTO, "a line is a key, '=' and a value")
        setter = Change.begin_peer if key == "public_key" else self._scope.get(key)
        if setter is None:
            known = ", ".join(sorted(self._scope))
            # A line out of joint may hold a secret anywhere: repeat only what looks like a key.
            what = key if key.isidentifier() and len(key) <= LONGEST_KEY else "this key"
            raise Refused(errno.EINVAL, f"{what} cannot be set here; what can is {known}")
        try:
            setter(self, value)
        except ConfigError as error:
            raise ConfigError(f"{key}: {error}") from error

    def end(self) -> None:
        """Let everything take effect that waits for the end of its section, or of the request."""
        self._commit_peer()
        self._interface.publish()

    # The device.

    def set_private_key(self, value: str) -> None:
        """Become someone else, or nobody with a key of zeros."""
        key = None if value == _NO_KEY else PrivateKey.from_hex(value)
        self._perform(self._interface.set_private_key(key, self._target.now()))

    def set_listen_port(self, value: str) -> None:
        """Listen on another port."""
        port = _number(value, _GREATEST_PORT)
        try:
            self._target.set_listen_port(port)
        except SystemFault as fault:
            raise Refused(errno.EADDRINUSE, f"listen_port={value}: {fault}") from fault

    def set_fwmark(self, value: str) -> None:
        """Give datagrams another firewall mark."""
        mark = _number(value, _GREATEST_MARK)
        try:
            self._target.set_fwmark(mark)
        except SystemFault as fault:
            raise Refused(errno.EADDRINUSE, f"fwmark={value}: {fault}") from fault

    def replace_peers(self, value: str) -> None:
        """Remove all peers."""
        _only_true(value)
        now = self._target.now()
        for public_key in tuple(self._interface.peers):
            self._perform(self._interface.remove_peer(public_key, now))

    # Peers.

    def begin_peer(self, value: str) -> None:
        """End the section there was and begin that of a peer, made if need be."""
        public_key = PublicKey.from_hex(value)
        self._commit_peer()
        self._is_new = public_key not in self._interface.peers
        self._peer = self._interface.add_peer(public_key, self._target.now())
        self._keepalive_turned_on = False
        # Our own key begins a section too, but one that is about nobody.
        self._scope = _PEER_KEYS if self._peer is not None else _CHECKED_KEYS

    def _commit_peer(self) -> None:
        peer, self._peer = self._peer, None
        if peer is not None:
            turned_on = self._keepalive_turned_on
            now = self._target.now()
            self._perform(self._interface.commit_peer(peer, keepalive_turned_on=turned_on, now=now))

    def update_only(self, value: str) -> None:
        """Undo the section if it made its peer."""
        _only_true(value)
        if self._is_new:
            self.remove("true")

    def remove(self, value: str) -> None:
        """Remove the peer; what else its section says is about nobody."""
        _only_true(value)
        peer, self._peer = self._peer, None
        self._scope = _CHECKED_KEYS
        if peer is not None:
            self._perform(self._interface.remove_peer(peer.public_key, self._target.now()))

    def set_preshared_key(self, value: str) -> None:
        """Give the peer a preshared key, or none with one of zeros."""
        self._interface.set_preshared_key(self._present, PresharedKey.from_hex(value))

    def set_endpoint(self, value: str) -> None:
        """Say where the peer is."""
        self._interface.set_endpoint(self._present, self._endpoint(value))

    def set_keepalive(self, value: str) -> None:
        """Say how often to let the peer hear from us, 0 for never."""
        interval = _number(value, _GREATEST_PORT)
        if interval and not self._present.persistent_keepalive:
            self._keepalive_turned_on = True
        self._interface.set_persistent_keepalive(self._present, interval)

    def replace_allowed_ips(self, value: str) -> None:
        """Take all its allowed IPs from the peer."""
        _only_true(value)
        self._interface.clear_allowed_ips(self._present)

    def change_allowed_ip(self, value: str) -> None:
        """Give an allowed IP to the peer, or after a minus take it away."""
        if value.startswith("-"):
            self._interface.remove_allowed_ip(self._present, Prefix.parse(value[1:]))
        else:
            self._interface.insert_allowed_ip(self._present, Prefix.parse(value))

    def check_version(self, value: str) -> None:
        """Refuse every version of the protocol but the one there is."""
        if value != "1":
            raise ConfigError(f"{value!r} is not a version of the protocol; there is only 1")

    def ignore(self, value: str) -> None:
        """Take any value: this section is about nobody."""

    @property
    def _present(self) -> Peer:
        assert self._peer is not None
        return self._peer

    def _endpoint(self, value: str) -> Endpoint:
        """Read an endpoint whose scope may be the name of an interface."""
        address, percent, rest = value.partition("%")
        scope, bracket, port = rest.rpartition("]")
        if percent and bracket and not scope.isdecimal():
            value = f"{address}%{self._target.scope_id(scope)}]{port}"
        return Endpoint.parse(value)

    def _perform(self, effects: list[Effect]) -> None:
        self._target.perform(effects)


_Setter = Callable[[Change, str], None]

_DEVICE_KEYS: Final[dict[str, _Setter]] = {
    "private_key": Change.set_private_key,
    "listen_port": Change.set_listen_port,
    "fwmark": Change.set_fwmark,
    "replace_peers": Change.replace_peers,
}
_PEER_KEYS: Final[dict[str, _Setter]] = {
    "update_only": Change.update_only,
    "remove": Change.remove,
    "preshared_key": Change.set_preshared_key,
    "endpoint": Change.set_endpoint,
    "persistent_keepalive_interval": Change.set_keepalive,
    "replace_allowed_ips": Change.replace_allowed_ips,
    "allowed_ip": Change.change_allowed_ip,
    "protocol_version": Change.check_version,
}
_CHECKED_KEYS: Final[dict[str, _Setter]] = dict.fromkeys(_PEER_KEYS, Change.ignore)
"""What may stand in a section that is about nobody."""


def _number(value: str, greatest: int) -> int:
    """Read a decimal number without sign, space or digits of other scripts."""
    if value.isascii() and value.isdecimal() and len(value) <= 20 and int(value) <= greatest:
        return int(value)
    raise ConfigError(f"{value!r} is not a number from 0 to {greatest}")


def _only_true(value: str) -> None:
    if value != "true":
        raise ConfigError(f"{value!r} cannot be; write true, or leave the line out")
