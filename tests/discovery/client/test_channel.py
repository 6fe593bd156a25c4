"""Which channels go through a proxy, and how silence is noticed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from kubespan.discovery.client.channel import OPTIONS, is_local, open_channel
from kubespan.discovery.client.conversation import CallFailed, Conversation
from tests.peers import REPOSITORY

CHILDREN = """
import asyncio
import kubespan.discovery.client.channel as channels
from grpc import aio
import uvloop

async def busy(port):
    while True:
        place = f"127.0.0.1:{port}"
        async with channels.open_channel(place, insecure=True, authorities=None) as one:
            try:
                await one.unary_unary("/a/b")(b"", timeout=1)
            except aio.AioRpcError:
                pass

async def main():
    server = aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    tasks = [asyncio.ensure_future(busy(port)) for _ in range(2)]
    for _ in range(100):
        child = await asyncio.create_subprocess_exec("true")
        assert await child.wait() == 0
    for task in tasks:
        task.cancel()
    await server.stop(0)

uvloop.run(main())
"""


def test_children_of_a_process_that_speaks_grpc_come_to_life() -> None:
    without = {k: v for k, v in os.environ.items() if not k.startswith("GRPC_")}
    words = (sys.executable, "-c", CHILDREN)
    done = subprocess.run(
        words, cwd=REPOSITORY, env=without, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("target", "local"),
    [
        ("127.0.0.1:3000", True),
        ("127.8.9.10:3000", True),
        ("[::1]:3000", True),
        ("localhost:3000", True),
        ("192.0.2.1:3000", False),
        ("[2001:db8::1]:3000", False),
        ("discovery.example:443", False),
    ],
)
def test_targets_on_this_host_need_no_proxy(target: str, local: bool) -> None:
    assert is_local(target) == local


@pytest.mark.parametrize(
    ("target", "asked"), [("discovery.example:443", True), ("127.0.0.1:9", False)]
)
def test_proxy_of_the_environment_is_asked_for_remote_targets(
    target: str, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> bytes:
        heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.set_result(await reader.readline())
            writer.close()

        async with await asyncio.start_server(hear, "127.0.0.1", 0) as proxy:
            port = proxy.sockets[0].getsockname()[1]
            for name in ("https_proxy", "http_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
            for name in ("grpc_proxy", "no_proxy", "no_grpc_proxy"):
                monkeypatch.delenv(name, raising=False)
            channel = open_channel(target, insecure=True)
            try:
                await Conversation(channel, "cluster", "me").hello()
            except CallFailed:
                pass
            finally:
                await channel.close()
            return heard.result() if heard.done() else b""

    line = asyncio.run(scenario())
    assert line == (f"CONNECT {target} HTTP/1.1\r\n".encode() if asked else b"")


def test_pings_are_as_rare_as_the_official_client_s() -> None:
    options = dict(OPTIONS)
    assert options["grpc.keepalive_time_ms"] == 180_000
    assert options["grpc.keepalive_timeout_ms"] == 20_000
    assert options["grpc.max_receive_message_length"] == 8 << 20
