"""Echo requests: answered by this very machine, or by nobody."""

from __future__ import annotations

import socket
import sys
from ipaddress import ip_address

import pytest

from kubespan.linux import echo
from kubespan.linux.echo import round_trip
from kubespan.model.errors import SystemFault
from tests.netns.namespace import Namespace
from tests.peers import REPOSITORY, need

pytestmark = pytest.mark.asyncio

HERE = {"PYTHONPATH": str(REPOSITORY)}


PROGRAM = """
import asyncio, sys
from ipaddress import ip_address
from kubespan.linux.echo import round_trip

for address in sys.argv[1:]:
    print(asyncio.run(round_trip(ip_address(address), 5.0)) is not None)
"""


@pytest.mark.netns
@pytest.mark.parametrize("groups", ["1 0", "0 0"], ids=["as root", "as anybody"])
async def test_this_machine_answers(groups: str) -> None:
    """The system lets some groups ping without being root, or none."""
    need("ip", "sysctl")
    namespace = Namespace("echo")
    try:
        namespace.ip("link", "set", "lo", "up")
        namespace.run("sysctl", "-qw", f"net.ipv4.ping_group_range={groups}")
        asked = namespace.run(sys.executable, "-c", PROGRAM, "127.0.0.1", "::1", variables=HERE)
    finally:
        namespace.close()
    assert asked == "True\nTrue\n"


async def test_nobody_answers_in_no_time() -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.setblocking(False)
    with one, other:
        other.send(b"\x81\0\0\0\0\0\0\0somebody else's.")
        assert await echo._ask(one, 6, 0.05) is None
        assert other.recv(100)[:1] == b"\x80"


async def test_a_kernel_that_lets_nobody_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(SystemFault, match=r"ping 192\.0\.2\.1"):
        await round_trip(ip_address("192.0.2.1"), 1.0)
