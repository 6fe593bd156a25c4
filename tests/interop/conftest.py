"""The other side: a guest that runs Linux's own WireGuard, booted once for the whole run.

And for discovery: members that are the official client library, and our server in a process of its
own, both once for each file of tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.interop.discovery_build import discovery_peer
from tests.interop.discovery_cluster import Cluster
from tests.interop.discovery_go import GoPeers
from tests.interop.discovery_server import DiscoveryServer
from tests.interop.kernel_guest import KernelGuest
from tests.interop.kernel_image import (
    REQUIRED_TOOLS,
    KernelUnavailableError,
    build_initramfs,
    cached_kernel,
)
from tests.interop.kernel_pair import (
    OURS4,
    OURS6,
    PORT,
    THEIRS4,
    THEIRS6,
    KernelPair,
    Neighbours,
)
from tests.interop.kernel_tunnel import KernelTunnel
from tests.netns.lab import Laboratory
from tests.peers import leave_out, need, program_under_test


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


@pytest.fixture
def pair(neighbours: Neighbours) -> Iterator[KernelPair]:
    """Two interfaces with keys, addresses and ports, up, without peers."""
    theirs = KernelTunnel(neighbours.guest)
    try:
        with Laboratory() as lab:
            ours = lab.tunnel(program_under_test(), neighbours.host).start()
            for tunnel in (ours, theirs):
                tunnel.set_key()
            ours.set("listen-port", str(PORT))
            theirs.set(f"listen-port {PORT}")
            ours.address(f"{OURS4}/24", f"{OURS6}/64")
            theirs.address(f"{THEIRS4}/24", f"{THEIRS6}/64")
            ours.up()
            theirs.up()
            yield KernelPair(neighbours, ours, theirs)
    finally:
        theirs.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def go() -> AsyncIterator[GoPeers]:
    """The program in which members run that are the official client library."""
    async with GoPeers(discovery_peer()) as peers:
        yield peers


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DiscoveryServer]:
    """Our discovery server, as an operator starts it to try it."""
    log = tmp_path_factory.mktemp("discovery") / "server.log"
    async with DiscoveryServer(log) as one:
        yield one


@pytest.fixture
def cluster(go: GoPeers, server: DiscoveryServer) -> Cluster:
    """A cluster of this test alone at that server."""
    return Cluster(go, server.endpoint)


def _connect(sides: Neighbours) -> None:
    sides.host.ip("link", "set", "eth0", "up")
    sides.host.address("eth0", f"{sides.host4}/24", f"{sides.host6}/64")
    sides.guest.run(
        "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad;"
        "echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad;"
        f"ip link set eth0 up && ip address add {sides.guest4}/24 dev eth0 &&"
        f"ip address add {sides.guest6}/64 dev eth0"
    )
