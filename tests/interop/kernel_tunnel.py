"""A WireGuard interface of Linux's own, in a guest, with the verbs of the laboratory's Tunnel."""

from __future__ import annotations

from tests.interop.kernel_guest import KernelGuest
from tests.netns.lab import KeyPair


class KernelTunnel:
    """An interface that is there from construction until `close`."""

    def __init__(self, guest: KernelGuest, name: str = "wg0") -> None:
        self.name = name
        self.guest = guest
        self.keys = KeyPair.generate()
        guest.run(f"ip link add {name} type wireguard")

    def address(self, *addresses: str) -> None:
        """Give inner addresses to the interface."""
        for address in addresses:
            self.guest.run(f"ip address add {address} dev {self.name}")

    def up(self) -> None:
        """Bring the interface up."""
        self.guest.run(f"ip link set {self.name} up")

    def set_key(self, keys: KeyPair | None = None) -> None:
        """Give it its private key, or another one."""
        self.keys = keys or self.keys
        self.set(f"private-key {self._secret(self.keys.private)}")

    def set(self, words: str) -> None:
        """Run `wg set` on it."""
        self.guest.run(f"wg set {self.name} {words}")

    def peer(self, public: str, words: str, preshared: str = "") -> None:
        """Run `wg set` on one of its peers."""
        secret = f"preshared-key {self._secret(preshared)} " if preshared else ""
        self.set(f"peer {public} {secret}{words}")

    def shown(self, what: str, public: str) -> str:
        """Return what `wg show INTERFACE WHAT` prints for one peer."""
        lines = self.guest.run(f"wg show {self.name} {what}").splitlines()
        return next(line.partition("\t")[2] for line in lines if line.startswith(public))

    def transfer(self, public: str) -> tuple[int, int]:
        """Return how many bytes were received from a peer and sent to it."""
        received, sent = self.shown("transfer", public).split()
        return int(received), int(sent)

    def ping(self, address: str, *, count: int = 1, size: int = 56, more: str = "") -> None:
        """Ping with iputils; every single one is answered within a second."""
        self.guest.run(f"/host/ping -n -q -c {count} -s {size} -i 0.02 -W 1 {more} {address}")

    def close(self) -> None:
        """Delete the interface."""
        self.guest.run(f"ip link delete {self.name}")

    def _secret(self, value: str) -> str:
        path = f"/tmp/{self.name}.secret"
        self.guest.run(f"echo '{value}' >{path}")
        return path
