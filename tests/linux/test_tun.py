"""TUN devices: which names, what a new one is like, taking one over, offloads, and its end."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from kubespan.linux import tun as module
from kubespan.linux.tun import (
    OFFLOAD_LADDER,
    VNET_HEADER_SIZE,
    Offload,
    Tun,
    adopt_tun,
    create_tun,
)
from kubespan.model.errors import ConfigError, SystemFault
from tests.netns.namespace import Namespace

Make = Callable[..., Tun]
PACKET = bytes.fromhex("4500001c000000004011000000000000") + bytes(12)


@pytest.fixture
def make(namespace: Namespace) -> Iterator[Make]:
    made: list[Tun] = []

    def build(name: str, *, vnet_header: bool = True, mtu: int = 1420) -> Tun:
        tun = namespace.inside(partial(create_tun, name, vnet_header=vnet_header, mtu=mtu))
        made.append(tun)
        return tun

    yield build
    for tun in made:
        os.close(tun.descriptor)


@pytest.fixture
def pretended() -> Iterator[tuple[int, socket.socket]]:
    """A descriptor that stands for a TUN device, and what is behind it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours.fileno(), theirs


def interface_names(namespace: Namespace) -> list[str]:
    return sorted(namespace.inside(lambda: [name for _, name in socket.if_nameindex()]))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\0b", "a" * 16, "é" * 8]
)
def test_names_that_no_interface_can_have(name: str) -> None:
    with pytest.raises(ConfigError) as error:
        create_tun(name)
    assert str(error.value) == (
        f"no interface can be called {name!r}; take 1 to 15 characters without"
        " '/', ':' or spaces, such as wg0"
    )


@pytest.mark.netns
@pytest.mark.parametrize("name", ["w", "a" * 15, "wg-é", "..."])
def test_names_that_an_interface_can_have(make: Make, name: str) -> None:
    assert make(name).name == name


@pytest.mark.netns
def test_the_system_numbers_a_pattern(make: Make) -> None:
    assert [make("wg%d").name, make("wg%d").name] == ["wg0", "wg1"]


@pytest.mark.netns
@pytest.mark.parametrize("vnet_header", [True, False])
def test_a_new_device(namespace: Namespace, make: Make, vnet_header: bool) -> None:
    tun = make("wg0", vnet_header=vnet_header, mtu=1380)
    link = namespace.link("wg0")
    assert tun.has_vnet_header is vnet_header
    assert link["mtu"] == 1380
    assert "UP" not in link["flags"]
    assert not os.get_blocking(tun.descriptor)
    assert not os.get_inheritable(tun.descriptor)


@pytest.mark.netns
def test_a_system_without_headers_makes_a_device_without(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = module._create
    asked: list[int] = []

    def refuse_headers(name: str, extra_flags: int, mtu: int) -> Tun:
        asked.append(extra_flags)
        if extra_flags:
            raise SystemFault(f"create {name}", errno.EINVAL)
        return create(name, extra_flags, mtu)

    monkeypatch.setattr(module, "_create", refuse_headers)
    assert not make("wg0").has_vnet_header
    assert len(asked) == 2


@pytest.mark.netns
def test_a_name_that_is_taken(make: Make) -> None:
    make("wg0")
    with pytest.raises(SystemFault, match="create wg0") as fault:
        make("wg0")
    assert fault.value.errno == errno.EBUSY


@pytest.mark.netns
def test_an_mtu_that_is_refused_leaves_nothing_behind(namespace: Namespace, make: Make) -> None:
    with pytest.raises(SystemFault) as fault:
        make("wg0", mtu=1_000_000)
    assert fault.value.errno == errno.EINVAL
    assert interface_names(namespace) == ["lo"]


@pytest.mark.netns
def test_closing_the_descriptor_deletes_the_interface(namespace: Namespace) -> None:
    tun = namespace.inside(partial(create_tun, "wg0"))
    assert interface_names(namespace) == ["lo", "wg0"]
    os.close(tun.descriptor)
    assert interface_names(namespace) == ["lo"]


@pytest.mark.netns
@pytest.mark.parametrize("vnet_header", [True, False])
def test_a_device_taken_over(make: Make, vnet_header: bool) -> None:
    tun = make("wg0", vnet_header=vnet_header)
    os.set_blocking(tun.descriptor, True)
    os.set_inheritable(tun.descriptor, True)
    assert adopt_tun(tun.descriptor) == tun
    assert not os.get_blocking(tun.descriptor)
    assert not os.get_inheritable(tun.descriptor)


def test_only_tun_devices_are_taken_over(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (tmp_path / "file").open() as file:
        with pytest.raises(SystemFault, match="recognize a TUN device"):
            adopt_tun(file.fileno())
        assert os.get_blocking(file.fileno())


@pytest.mark.netns
def test_the_name_follows_the_interface(namespace: Namespace, make: Make) -> None:
    tun = make("wg0")
    namespace.ip("link", "set", "wg0", "name", "other")
    assert tun.name == "other"


@pytest.mark.netns
def test_the_namespace_follows_the_interface(
    namespace: Namespace, elsewhere: Namespace, make: Make
) -> None:
    tun = make("wg0")
    for place in (namespace, elsewhere):
        namespace_descriptor = tun.open_namespace()
        try:
            here = os.fstat(namespace_descriptor)
        finally:
            os.close(namespace_descriptor)
        assert os.path.samestat(here, Path("/run/netns", place.name).stat())
        if place is namespace:
            namespace.ip("link", "set", "wg0", "netns", elsewhere.name)


@pytest.mark.netns
def test_the_index_is_that_of_the_interface_and_of_none_of_its_name(
    namespace: Namespace, elsewhere: Namespace, make: Make
) -> None:
    tun = make("wg0")
    index = namespace.inside(tun.index_here)
    assert index == namespace.inside(lambda: socket.if_nametoindex("wg0"))
    namespace.ip("link", "set", "wg0", "name", "other")
    namespace.ip("link", "add", "wg0", "type", "bridge")
    assert namespace.inside(tun.index_here) == index
    namespace.ip("link", "set", "other", "netns", elsewhere.name)
    namespace.ip("link", "set", "wg0", "name", "other")
    assert namespace.inside(tun.index_here) == 0
    assert elsewhere.inside(tun.index_here) > 0
    elsewhere.ip("link", "del", "other")
    assert elsewhere.inside(tun.index_here) == 0


@pytest.mark.netns
def test_the_index_where_namespaces_cannot_be_asked_for(
    namespace: Namespace, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels before 5.7 do not know how."""
    monkeypatch.setattr(module, "TUNGETDEVNETNS", 0x54FF)
    tun = make("wg0")
    assert namespace.inside(tun.index_here) == namespace.inside(
        lambda: socket.if_nametoindex("wg0")
    )


@pytest.mark.netns
def test_the_index_where_nothing_may_be_asked_of_the_namespace(
    namespace: Namespace, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was moved to where we have no say; what is called so here is another interface."""
    tun = make("wg0")

    def refuse(_: Tun) -> int:
        raise SystemFault("find a TUN device's namespace", errno.EPERM)

    monkeypatch.setattr(Tun, "open_namespace", refuse)
    assert namespace.inside(tun.index_here) == 0


@pytest.mark.netns
def test_a_deleted_interface(namespace: Namespace, make: Make) -> None:
    tun = make("wg0")
    namespace.ip("link", "del", "wg0")
    with pytest.raises(SystemFault) as fault:
        tun.open_namespace()
    assert fault.value.errno == errno.EBADFD
    with pytest.raises(SystemFault) as fault:
        _ = tun.name
    assert fault.value.errno == errno.EBADFD
    with pytest.raises(OSError, match="bad state") as error:
        tun.read()
    assert error.value.errno == errno.EBADFD


@pytest.mark.netns
@pytest.mark.parametrize("vnet_header", [True, False])
def test_packets_go_through(namespace: Namespace, make: Make, vnet_header: bool) -> None:
    tun = make("wg0", vnet_header=vnet_header)
    namespace.sysctl("net/ipv6/conf/wg0/disable_ipv6", 1)
    namespace.address("wg0", "192.0.2.1/24")
    namespace.ip("link", "set", "wg0", "up")
    with pytest.raises(BlockingIOError):
        tun.read()
    with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("192.0.2.1", 1000))
        sender.sendto(b"question", ("192.0.2.2", 2000))
        packet = tun.read()
        assert packet[12:20] == bytes((192, 0, 2, 1, 192, 0, 2, 2))
        assert packet[28:] == b"question"
        # Source and destination trade places, which the header's checksum does not notice.
        answer = packet[:12] + packet[16:20] + packet[12:16]
        tun.write(answer + bytes.fromhex("07d003e800100000") + b"response")
        sender.settimeout(10)
        assert sender.recv(100) == b"response"


@pytest.mark.parametrize("vnet_header", [True, False])
def test_the_header_stays_below(pretended: tuple[int, socket.socket], vnet_header: bool) -> None:
    descriptor, behind = pretended
    tun = Tun(descriptor, vnet_header)
    header = VNET_HEADER_SIZE * vnet_header
    behind.send(b"\xff" * header + PACKET)
    assert tun.read() == PACKET
    tun.write(PACKET)
    assert behind.recv(100) == bytes(header) + PACKET


@pytest.mark.netns
def test_this_kernel_agrees_to_offloads(make: Make) -> None:
    agreed = make("wg0").set_offloads()
    assert agreed in OFFLOAD_LADDER
    assert Offload.CSUM | Offload.TSO4 | Offload.TSO6 in agreed


@pytest.mark.parametrize("supported", [*OFFLOAD_LADDER, Offload(0)])
def test_the_ladder_is_climbed_down(supported: Offload, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def ioctl(descriptor: int, request: int, offload: int) -> int:
        assert (descriptor, request) == (99, module.TUNSETOFFLOAD)
        asked.append(offload)
        if offload & ~supported:
            raise OSError(errno.EINVAL, "unknown offload")
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    assert Tun(99, has_vnet_header=True).set_offloads() == supported
    assert asked == sorted(asked, reverse=True)
    asked.clear()
    Tun(99, has_vnet_header=True).clear_offloads()
    assert asked == [0]


def test_without_headers_offloads_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def ioctl(*_: object) -> int:
        raise AssertionError

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    tun = Tun(99, has_vnet_header=False)
    assert tun.set_offloads() == Offload(0)
    tun.clear_offloads()
