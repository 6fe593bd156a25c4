"""The other side: a guest that runs Linux's own WireGuard, booted once for the whole run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.interop.kernel_guest import KernelGuest
from tests.interop.kernel_image import (
    REQUIRED_TOOLS,
    KernelUnavailableError,
    build_initramfs,
    cached_kernel,
)
from tests.netns.lab import Laboratory
from tests.netns.namespace import Namespace
from tests.peers import leave_out, need


@dataclass(frozen=True, slots=True)
class Neighbours:
    """A namespace of this machine and a guest on the two ends of one cable."""

    host: Namespace
    guest: KernelGuest
    host4: str = "192.0.2.1"
    guest4: str = "192.0.2.2"
    host6: str = "2001:db8::1"
    guest6: str = "2001:db8::2"


@pytest.fixture
def lab() -> Iterator[Laboratory]:
    """An empty laboratory of this test alone."""
    with Laboratory() as laboratory:
        yield laboratory


@pytest.fixture(scope="session")
def neighbours() -> Iterator[Neighbours]:
    """The guest, and the namespace that its network card is in."""
    need(*REQUIRED_TOOLS)
    try:
        kernel = cached_kernel()
    except KernelUnavailableError as error:
        leave_out(f"needs a kernel to boot: {error}")
    with Laboratory() as lab:
        host = lab.namespace("host")
        initramfs = build_initramfs(kernel, lab.folder)
        with KernelGuest(
            kernel, initramfs, namespace=host.name, tap="eth0", folder=lab.folder
        ) as guest:
            sides = Neighbours(host, guest)
            _connect(sides)
            yield sides


def _connect(sides: Neighbours) -> None:
    sides.host.ip("link", "set", "eth0", "up")
    sides.host.address("eth0", f"{sides.host4}/24", f"{sides.host6}/64")
    sides.guest.run(
        "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad;"
        "echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad;"
        f"ip link set eth0 up && ip address add {sides.guest4}/24 dev eth0 &&"
        f"ip address add {sides.guest6}/64 dev eth0"
    )
