"""Links and addresses: as the kernel has them, in a namespace of this test alone."""

from __future__ import annotations

import asyncio
import sys
from errno import EAGAIN, EMFILE, EPERM
from ipaddress import ip_address
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import pytest
import uvloop

from kubespan.linux.address import ATTEMPTS, read_links_and_addresses
from kubespan.model.errors import SystemFault
from kubespan.model.host import (
    SCOPE_LINK,
    AddressFlag,
    HostAddress,
    Link,
    OperationalState,
    first_physical_link,
)
from tests.netns.namespace import Namespace

# ------------------------------------------------------------------------------- a real kernel


def look(namespace: Namespace) -> tuple[dict[str, Link], dict[str, HostAddress]]:
    links, addresses = namespace.inside(read_links_and_addresses)
    return {link.name: link for link in links}, {str(a.address): a for a in addresses}


@pytest.mark.netns
def test_what_there_is_at_first(namespace: Namespace) -> None:
    links, addresses = look(namespace)
    loopback = links["lo"]
    assert loopback.is_up
    assert not loopback.is_ethernet
    assert loopback.kind == ""
    assert loopback.state is OperationalState.UNKNOWN
    assert addresses["127.0.0.1"].prefix_length == 8
    assert addresses["127.0.0.1"].scope > SCOPE_LINK
    assert addresses["::1"].link_index == loopback.index


@pytest.mark.netns
def test_links(namespace: Namespace) -> None:
    namespace.ip("link", "add", "v0", "address", "02:00:00:00:00:0a", "type", "veth", "peer", "v1")
    namespace.ip("link", "add", "b0", "type", "bridge")
    namespace.ip("tuntap", "add", "t0", "mode", "tun")
    namespace.ip("link", "set", "v0", "up")
    links, _ = look(namespace)
    v0, v1, b0, t0 = (links[name] for name in ("v0", "v1", "b0", "t0"))
    assert (v0.kind, b0.kind, t0.kind) == ("veth", "bridge", "tun")
    assert (v0.is_ethernet, t0.is_ethernet) == (True, False)
    assert (v0.mac, t0.mac) == (bytes.fromhex("02000000000a"), b"")
    assert (v0.is_up, v1.is_up) == (True, False)
    assert v0.state is OperationalState.LOWER_LAYER_DOWN
    assert not v0.has_carrier
    assert v0.index == namespace.link("v0")["ifindex"]
    # Everything in here was made by somebody.
    assert first_physical_link(links.values()) is None
    namespace.ip("link", "set", "v1", "up")
    links, _ = look(namespace)
    assert links["v0"].state is OperationalState.UP
    assert links["v0"].has_carrier


@pytest.mark.netns
def test_addresses(namespace: Namespace) -> None:
    namespace.ip("link", "add", "v0", "type", "veth", "peer", "v1")
    for name in ("v0", "v1"):
        namespace.ip("link", "set", name, "up")
    namespace.ip("address", "add", "192.0.2.1/24", "dev", "v0")
    namespace.ip("address", "add", "10.9.0.1", "peer", "10.9.0.2/32", "dev", "v0")
    namespace.ip("address", "add", "10.8.0.1/24", "dev", "v0", "scope", "link")
    namespace.ip("address", "add", "2001:db8::1/64", "dev", "v0", "nodad", "preferred_lft", "0")
    namespace.sysctl("net/ipv6/conf/v1/dad_transmits", 100)
    namespace.ip("address", "add", "2001:db8::2/64", "dev", "v1")
    links, addresses = look(namespace)
    assert addresses["192.0.2.1"] == HostAddress(ip_address("192.0.2.1"), 24, links["v0"].index)
    assert addresses["10.9.0.1"].prefix_length == 32
    assert "10.9.0.2" not in addresses
    assert addresses["10.8.0.1"].scope == SCOPE_LINK
    assert addresses["2001:db8::1"].flags == AddressFlag.DEPRECATED
    assert addresses["2001:db8::1"].prefix_length == 64
    assert addresses["2001:db8::2"].flags == AddressFlag.TENTATIVE
    assert addresses["2001:db8::2"].link_index == links["v1"].index


def test_it_runs_in_a_worker_of_the_programs_own_loop() -> None:
    async def main() -> tuple[tuple[Link, ...], tuple[HostAddress, ...]]:
        return await asyncio.to_thread(read_links_and_addresses)

    links, _ = uvloop.run(main())
    assert "lo" in {link.name for link in links}


# ------------------------------------------------------------------------------ a fickle kernel


class NetlinkError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class NetlinkDumpInterrupted(NetlinkError):
    pass


class Message(dict[str, Any]):
    def get_attr(self, name: str) -> Any:
        return self.get(name)


LINK = Message(index=7, ifi_type=1, flags=0, IFLA_IFNAME="x0", IFLA_OPERSTATE="DORMANT")


class Netlink:
    """A kernel that fails so often, with this, before it answers."""

    def __init__(self, failure: Exception, failures: int) -> None:
        self.failure = failure
        self.failures = failures

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return

    def get_links(self) -> list[Message]:
        if self.failures:
            self.failures -= 1
            raise self.failure
        return [LINK]

    def get_addr(self) -> list[Message]:
        return []


def play(monkeypatch: pytest.MonkeyPatch, failure: Exception, failures: int) -> None:
    library = SimpleNamespace(
        IPRoute=lambda: Netlink(failure, failures),
        NetlinkError=NetlinkError,
        NetlinkDumpInterrupted=NetlinkDumpInterrupted,
    )
    monkeypatch.setitem(sys.modules, "pyroute2", library)


def test_a_change_under_the_reading_makes_it_begin_again(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, NetlinkDumpInterrupted(-1), ATTEMPTS - 1)
    links, addresses = read_links_and_addresses()
    assert links == (Link(7, "x0", True, "", b"", False, False, OperationalState.DORMANT),)
    assert addresses == ()


@pytest.mark.parametrize(
    ("failure", "failures", "errno"),
    [
        (NetlinkDumpInterrupted(-1), ATTEMPTS, EAGAIN),
        (NetlinkError(EPERM), 1, EPERM),
        (OSError(EMFILE, "too many"), 1, EMFILE),
    ],
)
def test_what_fails_is_the_systems_fault(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, failures: int, errno: int
) -> None:
    play(monkeypatch, failure, failures)
    with pytest.raises(SystemFault, match="read links and addresses") as caught:
        read_links_and_addresses()
    assert caught.value.errno == errno
