"""The server of a node's window: its socket, its second address, its beginning and its end."""

from __future__ import annotations

import asyncio
import errno
import grp
import os
import socket
import stat
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop

from kubespan.api import listener as listening
from kubespan.api.client import Client
from kubespan.api.refusal import Reason, Refused
from kubespan.api.resource_server import ResourceServer, listen_for_clients
from kubespan.model.errors import ConfigError, SystemFault
from tests.api.nodes import FakeNode
from tests.api.windows import served
from tests.cli.processes import running
from tests.peers import leave_out


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory) / "run" / "node.sock"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_socket_is_for_its_owner(path: Path) -> None:
    listener = listen_for_clients(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    listener.close()
    assert not path.exists()


def test_socket_of_another_node_is_left_to_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "LEAVING_TIMEOUT", 0.0)
    listener = listen_for_clients(path)
    with pytest.raises(SystemFault) as caught:
        listen_for_clients(path)
    assert caught.value.errno == errno.EADDRINUSE
    assert listener.is_reachable
    listener.close()


def test_socket_that_nobody_listens_behind_is_replaced(path: Path) -> None:
    listen_for_clients(path).socket.close()
    listener = listen_for_clients(path)
    assert listener.is_reachable
    listener.close()


def test_file_is_there_until_the_listener_closes() -> None:
    with served() as one:
        assert one.client.version()
        path = one.path
    assert not path.exists()


def test_numbers_are_served_on_an_address_too() -> None:
    port = free_port()
    with served(metrics_address=f"127.0.0.1:{port}"):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
            assert b"kubespan_peers" in response.read()
        with (
            pytest.raises(urllib.error.HTTPError) as caught,
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/status"),
        ):
            pytest.fail("what is for the socket was served on an address")
        caught.value.close()


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1:http", "127.0.0.1:65536"])
def test_address_that_is_none(path: Path, address: str) -> None:
    async def scenario() -> None:
        listener = listen_for_clients(path)
        with pytest.raises(ConfigError, match=f"'{address}' is no address to serve metrics on"):
            await ResourceServer(FakeNode(), listener, address).start()
        listener.close()

    asyncio.run(scenario())


def test_address_that_is_taken(path: Path) -> None:
    async def scenario(port: int) -> None:
        listener = listen_for_clients(path)
        with pytest.raises(SystemFault, match=f"serve metrics on 127.0.0.1:{port}: ") as caught:
            await ResourceServer(FakeNode(), listener, f"127.0.0.1:{port}").start()
        assert caught.value.errno == errno.EADDRINUSE
        listener.close()

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        asyncio.run(scenario(taken.getsockname()[1]))


def test_other_event_loop_does_as_well(path: Path) -> None:
    async def scenario() -> None:
        listener = listen_for_clients(path)
        server = ResourceServer(FakeNode(), listener)
        await server.start()
        client = Client(str(path))
        assert await asyncio.to_thread(client.holds, "live")
        found = await asyncio.to_thread(client.resources, "ksi", secrets=True)
        assert found["items"][0]["spec"]["privateKey"] != "(hidden)"
        await server.stop()
        listener.close()
        with pytest.raises(Refused) as caught:
            await asyncio.to_thread(client.version)
        assert caught.value.reason is Reason.NOT_RUNNING

    uvloop.run(scenario())


def test_process_keeps_its_umask(path: Path) -> None:
    before = os.umask(0o022)
    os.umask(before)
    listen_for_clients(path).close()
    assert os.umask(before) == before


@contextmanager
def somebody(user: int, group: int) -> Iterator[None]:
    """Be another user for a while, as far as the kernel is asked."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(group)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def test_members_of_the_group_may_look_and_others_may_not_even_that(path: Path) -> None:
    if os.geteuid() != 0:
        leave_out("needs root to be somebody else")
    path.parent.parent.chmod(0o755)
    users, nobody = grp.getgrnam("users").gr_gid, 65534
    with running(path, 1, "users") as process:
        client = Client(str(path))
        with somebody(nobody, users):
            assert client.status()["schema"] == 1
            with pytest.raises(Refused, match="only root or the user who runs the node") as caught:
                client.stop()
        assert caught.value.reason is Reason.NOT_PERMITTED
        with somebody(nobody, nobody), pytest.raises(Refused, match="not permitted to") as caught:
            client.status()
        assert caught.value.reason is Reason.NOT_PERMITTED
        client.stop()
        assert process.poll() is None
        assert process.stdin is not None
        process.stdin.close()
