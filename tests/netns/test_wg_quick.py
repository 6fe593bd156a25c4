"""wg-quick, unmodified, with a userspace program named by its variable.

client                                              server
[wg-quick] 10.77.0.1  ------ [wire0]  [wire0] ------ [tunnel] 10.77.0.2
                     192.0.2.1          192.0.2.2    [lo] 198.51.100.7, 2001:db8:7::7
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.netns.lab import KeyPair, Laboratory, Tunnel, eventually, holders, is_alive
from tests.netns.namespace import CommandFailedError, Namespace, run, unique_name
from tests.peers import Program, leave_out, need

pytestmark = [pytest.mark.netns, pytest.mark.interop]

BEHIND = ("198.51.100.7", "2001:db8:7::7")
FAMILIES = pytest.mark.parametrize("outer", ["192.0.2.2", "[2001:db8::2]"])


@dataclass(frozen=True, slots=True)
class Client:
    """A configuration file, the namespace it is for, and the program that carries it out."""

    namespace: Namespace
    program: Program
    path: Path

    @property
    def interface(self) -> str:
        """The interface is named by the file."""
        return self.path.stem

    def quick(self, verb: str) -> str:
        """Run wg-quick and return what it printed."""
        variables = {"WG_QUICK_USERSPACE_IMPLEMENTATION": str(self.program.path)}
        log = self.path.with_suffix(".log")
        # The daemon inherits the output, so that a pipe would stay open as long as it lives.
        shell = f"exec wg-quick {verb} {self.path} >{log} 2>&1"
        try:
            self.namespace.run("sh", "-c", shell, variables=variables)
        except CommandFailedError as error:
            raise CommandFailedError(f"{error}\n{log.read_text()}") from error
        return log.read_text()


@pytest.fixture
def server(lab: Laboratory, program: Program) -> Tunnel:
    """The far end, which takes every address of the client and routes for it."""
    need("wg-quick")
    if Path("/sys/module/wireguard").exists():
        leave_out("wg-quick asks no userspace program where the kernel's module is loaded")
    client, server = lab.namespaces("client", "server")
    lab.cable(client, "wire0", server, "wire0")
    client.address("wire0", "192.0.2.1/24", "2001:db8::1/64")
    server.address("wire0", "192.0.2.2/24", "2001:db8::2/64")
    server.address("lo", *(f"{a}/{128 if ':' in a else 32}" for a in BEHIND))
    tunnel = lab.tunnel(program, server).start()
    tunnel.set_key()
    tunnel.set("listen-port", "1002")
    tunnel.address("10.77.0.2/24", "fd77::2/64")
    tunnel.up()
    return tunnel


def client_of(
    lab: Laboratory, server: Tunnel, outer: str = "192.0.2.2", allowed: str = "0.0.0.0/0,::/0"
) -> Client:
    """Write the client's configuration, and make it known to the server."""
    keys = KeyPair.generate()
    server.peer(keys.public, "allowed-ips", "10.77.0.1/32,fd77::1/128")
    path = lab.folder / f"{unique_name('q')}.conf"
    path.touch(mode=0o600)
    path.write_text(
        f"[Interface]\nPrivateKey = {keys.private}\nAddress = 10.77.0.1/24, fd77::1/64\n"
        f"PostUp = true\n\n"
        f"[Peer]\nPublicKey = {server.keys.public}\nAllowedIPs = {allowed}\n"
        f"Endpoint = {outer}:1002\n"
    )
    here = next(n for n in lab.all_namespaces if n is not server.born)
    return Client(here, server.program, path)


@FAMILIES
def test_a_default_route_through_the_tunnel(lab: Laboratory, server: Tunnel, outer: str) -> None:
    """Up: everything goes through, the tunnel's own packets around it. Down: all is as before."""
    client = client_of(lab, server, outer)
    before = state(client.namespace)
    client.quick("up")
    try:
        assert run("wg", "show", client.interface, "fwmark").strip() == "0xca6c"
        for address in (*BEHIND, server.inner4, server.inner6):
            client.namespace.ping(address, count=5)
        (pid,) = holders(client.interface)
    finally:
        client.quick("down")
    eventually("the daemon is gone", lambda: not is_alive(pid), 1)
    assert not Path(f"/var/run/wireguard/{client.interface}.sock").exists()
    assert state(client.namespace) == before


def state(namespace: Namespace) -> list[str]:
    """Return rules, routes and filters, which must not be left behind."""
    rules = namespace.ip("rule"), namespace.ip("-6", "rule")
    return [*rules, namespace.ip("route"), namespace.run("nft", "list", "ruleset")]


def test_up_and_down_again_and_again(lab: Laboratory, server: Tunnel) -> None:
    """Five times without a pause, and each time the first ping passes."""
    client = client_of(lab, server, allowed="10.77.0.0/24,fd77::/64,198.51.100.0/24")
    for _ in range(5):
        client.quick("up")
        try:
            assert client.namespace.link(client.interface)["mtu"] == 1420
            client.namespace.ping(server.inner4)
            client.namespace.ping("198.51.100.7")
        finally:
            client.quick("down")


def test_save_keeps_what_was_changed(lab: Laboratory, server: Tunnel) -> None:
    """A peer that was added while up is in the file after `save`, and in what `strip` prints."""
    client = client_of(lab, server, allowed="10.77.0.0/24")
    public = KeyPair.generate().public
    client.quick("up")
    try:
        run("wg", "set", client.interface, "peer", public, "allowed-ips", "10.9.0.0/16")
        client.quick("save")
    finally:
        client.quick("down")
    saved = client.path.read_text()
    assert f"PublicKey = {public}" in saved
    assert "AllowedIPs = 10.9.0.0/16" in saved
    assert "Address = 10.77.0.1/24" in saved
    stripped = client.quick("strip")
    assert "Address" not in stripped
    assert f"PublicKey = {public}" in stripped


def test_an_mtu_and_a_port_of_the_file(lab: Laboratory, server: Tunnel) -> None:
    """What the file says is what the interface has."""
    client = client_of(lab, server, allowed="10.77.0.0/24")
    lines = "[Interface]\nMTU = 1280\nListenPort = 7777\nFwMark = 0x77"
    client.path.write_text(client.path.read_text().replace("[Interface]", lines))
    client.quick("up")
    try:
        assert client.namespace.link(client.interface)["mtu"] == 1280
        assert run("wg", "show", client.interface, "listen-port").strip() == "7777"
        assert run("wg", "show", client.interface, "fwmark").strip() == "0x77"
        client.namespace.ping(server.inner4, "-M", "do", size=1252)
    finally:
        client.quick("down")
