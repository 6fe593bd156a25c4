"""TUN devices: which names, what a new one is like, taking one over, offloads, and its end."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytun

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

    def build(name: str, **how: Any) -> Tun:
        tun = namespace.inside(partial(create_tun, name, **{"mtu": 1420, **how}))
        made.append(tun)
        return tun

    yield build
    for tun in made:
        tun.close()


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


# ---- several queues


QUEUES = 16
FLOWS = 64


@pytest.fixture
def wide(namespace: Namespace, make: Make) -> Tun:
    """A device with several queues, up, that carries only what the test sends."""
    tun = make("wg0", queues=QUEUES)
    namespace.sysctl("net/ipv6/conf/wg0/disable_ipv6", 1)
    namespace.address("wg0", "192.0.2.1/24")
    namespace.ip("link", "set", "wg0", "up")
    return tun


@pytest.fixture
def flows(namespace: Namespace, wide: Tun) -> Iterator[list[socket.socket]]:
    """Sockets of which each sends a flow into the device."""
    with ExitStack() as stack:
        made = []
        for number in range(FLOWS):
            one = stack.enter_context(namespace.socket(socket.AF_INET, socket.SOCK_DGRAM))
            one.bind(("192.0.2.1", 1000 + number))
            one.connect(("192.0.2.2", 2000))
            one.setblocking(False)
            made.append(one)
        yield made


def waiting(tun: Tun) -> dict[int, set[int]]:
    """The queues in which packets of each flow wait, by its port; they wait no longer."""
    found: dict[int, set[int]] = {}
    for number, queue in enumerate(tun.queues):
        with suppress(BlockingIOError):
            while packet := os.read(queue, 2048)[VNET_HEADER_SIZE:]:
                found.setdefault(int.from_bytes(packet[20:22], "big"), set()).add(number)
    return found


@pytest.mark.netns
def test_a_flow_stays_in_its_queue_whatever_is_answered(
    wide: Tun, flows: list[socket.socket]
) -> None:
    """Written to a queue, the answers would draw their flows there, past packets that wait."""
    seen = []
    for _ in range(3):
        for flow in flows:
            flow.send(b"question")
        seen.append(waiting(wide))
        for port in range(1000, 1000 + FLOWS):
            head = bytes.fromhex("450000200000000040110000") + bytes((192, 0, 2, 2, 192, 0, 2, 1))
            head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
            udp = b"\x07\xd0" + port.to_bytes(2, "big") + bytes.fromhex("000c0000")
            wide.write(head + udp + b"said")
        assert [flow.recv(100) for flow in flows] == [b"said"] * FLOWS
    assert seen[0] == seen[1] == seen[2]
    assert sorted(seen[0]) == list(range(1000, 1000 + FLOWS))
    assert max(map(len, seen[0].values())) == 1
    assert len(set.union(*seen[0].values())) > QUEUES // 2


def checksum(head: bytes) -> int:
    total = sum(int.from_bytes(head[at : at + 2], "big") for at in range(0, len(head), 2))
    return ~(total % 65535) & 0xFFFF


@pytest.mark.netns
def test_a_full_queue_takes_nothing_from_others(wide: Tun, flows: list[socket.socket]) -> None:
    for _ in range(2000):
        flows[0].send(b"much")
    for flow in flows[1:]:
        flow.send(b"little")
    full = waiting(wide)
    missing = FLOWS - len(full)
    assert missing < FLOWS // 2, "only those that share the queue may find it full"


@pytest.mark.netns
def test_a_device_with_queues_is_deleted_when_it_is_closed(namespace: Namespace) -> None:
    tun = namespace.inside(partial(create_tun, "wg0", queues=QUEUES))
    assert len(tun.queues) == QUEUES
    assert not any(map(os.get_blocking, tun.readable))
    assert not any(map(os.get_inheritable, tun.readable))
    tun.close()
    assert interface_names(namespace) == ["lo"]


@pytest.mark.netns
def test_every_queue_of_a_deleted_interface_says_so(namespace: Namespace, wide: Tun) -> None:
    namespace.ip("link", "del", "wg0")
    for descriptor in (wide.descriptor, *wide.queues):
        with pytest.raises(OSError, match="bad state") as error:
            os.read(descriptor, 2048)
        assert error.value.errno == errno.EBADFD


@pytest.mark.netns
@pytest.mark.parametrize("other", [1, QUEUES])
def test_nobody_s_device_is_joined(make: Make, other: int) -> None:
    make("wg0", queues=other)
    with pytest.raises(SystemFault, match="create wg0") as fault:
        make("wg0", queues=QUEUES)
    assert fault.value.errno == errno.EBUSY


@pytest.mark.netns
def test_a_device_that_is_given_another_name_meanwhile_gets_no_queues_elsewhere(
    namespace: Namespace, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queues would be those of a new device that has its old name."""
    original = module._open

    def rename_at_once(name: str, flags: int) -> Any:
        device = original(name, flags)
        if flags & pytun.IFF_TUN_EXCL:
            namespace.ip("link", "set", name, "name", "renamed0")
        return device

    monkeypatch.setattr(module, "_open", rename_at_once)
    assert make("wg0", queues=QUEUES).queues == ()
    assert interface_names(namespace) == ["lo", "wg0"]


@pytest.mark.netns
@pytest.mark.parametrize("spare", [3, 9, 20])
def test_without_descriptors_for_all_queues_nothing_is_left(
    namespace: Namespace, make: Make, monkeypatch: pytest.MonkeyPatch, spare: int
) -> None:
    left = iter([None] * spare)
    original = os.dup

    def run_out(descriptor: int) -> int:
        if next(left, 0) == 0:
            raise OSError(errno.EMFILE, "too many")
        return original(descriptor)

    monkeypatch.setattr(os, "dup", run_out)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    if spare > QUEUES:
        assert len(make("wg0", queues=QUEUES).queues) == QUEUES
        return
    with pytest.raises(SystemFault):
        make("wg0", queues=QUEUES)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert interface_names(namespace) == ["lo"]


@pytest.mark.netns
def test_a_device_that_was_prepared_for_us_has_one_queue(namespace: Namespace, make: Make) -> None:
    """`ip tuntap` makes one that a user without privileges may open."""
    namespace.ip("tuntap", "add", "dev", "wg0", "mode", "tun", "vnet_hdr")
    tun = make("wg0", queues=QUEUES)
    assert (tun.name, tun.queues, tun.readable) == ("wg0", (), (tun.descriptor,))


@pytest.mark.netns
def test_where_there_are_no_queues_one_is_enough(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = module._open

    def refuse_queues(name: str, flags: int) -> Any:
        if flags & pytun.IFF_MULTI_QUEUE:
            raise OSError(errno.EINVAL, "an old system")
        return original(name, flags)

    monkeypatch.setattr(module, "_open", refuse_queues)
    assert make("wg0", queues=QUEUES).queues == ()


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
