"""The discovery server as a process of its own, through real gRPC on the loopback interface.

An affiliate is 300 bytes of data and four endpoints, two of IPv4 and two of IPv6. The client that
measures is Python too and shares the machine, so these are floors of what the server does. Memory
is of the whole process, as the kernel has it; it is printed with `-s` and kept in `extra_info`.
Each call claims an address of its own, because one address may make only 15 a second.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import grpc
import pytest
import uvloop
from google.protobuf.duration_pb2 import Duration

from kubespan.discovery.method import AFFILIATE_UPDATE, HELLO, LIST, WATCH
from kubespan.discovery.proto.server_pb2 import (
    AffiliateUpdateRequest,
    HelloRequest,
    ListRequest,
    WatchRequest,
)

REPOSITORY = Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, "-m", "kubespan.cli.main", "discovery", "serve", "--insecure")
CALLS = 2_000
CALLERS = 100
WATCHERS = 200
CHANGES = 200
AFFILIATES = 1_000
CLUSTERS = 20
CHANNEL = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 1 << 24))
DEADLINE = 300.0

_addresses = itertools.count(int(IPv4Address("10.0.0.0")))


class Server:
    """A server that is ready, and one connection to it."""

    def __init__(self, runner: asyncio.Runner, *options: str) -> None:
        self._process = subprocess.Popen(
            (*COMMAND, "--listen", "127.0.0.1:0", "--trust-x-real-ip", *options),
            cwd=REPOSITORY,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        places = (re.search(r"event=listening address=(\S+)", s) for s in self._process.stderr)
        self._address = next(place[1] for place in places if place)
        self._runner = runner
        self._channel: Any = runner.run(self.connect())

    async def connect(self) -> Any:
        """Return another connection."""
        return grpc.aio.insecure_channel(self._address, options=CHANNEL)

    @property
    def memory(self) -> int:
        """Bytes that the process has in memory."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    async def call(self, path: str, raw: bytes) -> bytes:
        """Return the answer, as bytes."""
        answer: bytes = await self._channel.unary_unary(path)(raw, **_options())
        return answer

    async def watch(self, channel: Any, cluster: str) -> Any:
        """Open a watch and return it, its snapshot read."""
        request = WatchRequest(cluster_id=cluster).SerializeToString()
        stream = channel.unary_stream(WATCH.path)(request, **_options())
        await stream.read()
        return stream

    def close(self) -> None:
        """Nothing is left of it."""
        self._runner.run(self._channel.close())
        self._process.terminate()
        self._process.communicate()


def _options() -> dict[str, Any]:
    address = str(IPv4Address(next(_addresses)))
    return {"timeout": DEADLINE, "metadata": (("x-real-ip", address),)}


def _hello(_: int) -> tuple[str, bytes]:
    return HELLO.path, HelloRequest(cluster_id="c", client_version="v1.14.0").SerializeToString()


def _update(number: int, cluster: str = "c") -> tuple[str, bytes]:
    address = number.to_bytes(14)
    request = AffiliateUpdateRequest(
        cluster_id=cluster,
        affiliate_id=f"affiliate-{number % AFFILIATES}",
        affiliate_data=(address * 22)[:300],
        affiliate_endpoints=(
            b"4a" + address,
            b"4b" + address,
            b"6a" * 9 + address,
            b"6b" * 9 + address,
        ),
        ttl=Duration(seconds=1800),
    )
    return AFFILIATE_UPDATE.path, request.SerializeToString()


def _known(number: int) -> tuple[str, bytes]:
    return _update(number % AFFILIATES)


async def _call_all(
    server: Server, calls: int, callers: int, request: Callable[[int], tuple[str, bytes]]
) -> None:
    numbers = iter(range(calls))

    async def caller() -> None:
        for number in numbers:
            await server.call(*request(number))

    await asyncio.gather(*(caller() for _ in range(callers)))


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as made:
        yield made


@pytest.fixture(params=["memory", "disk"])
def server(
    request: pytest.FixtureRequest, runner: asyncio.Runner, tmp_path: Path
) -> Iterator[Server]:
    one = Server(runner, *(("--state", str(tmp_path)) if request.param == "disk" else ()))
    yield one
    one.close()


@pytest.mark.parametrize("callers", [1, CALLERS])
@pytest.mark.parametrize("request_", [_hello, _known], ids=["hello", "update"])
def test_calls(
    benchmark: Any,
    runner: asyncio.Runner,
    server: Server,
    callers: int,
    request_: Callable[[int], tuple[str, bytes]],
) -> None:
    """2,000 calls, one at a time or 100 in flight."""
    benchmark.group = f"{CALLS} calls"
    benchmark.pedantic(
        lambda: runner.run(_call_all(server, CALLS, callers, request_)), rounds=3, warmup_rounds=1
    )


@pytest.mark.parametrize("server", ["memory"], indirect=True)
def test_list(benchmark: Any, runner: asyncio.Runner, server: Server) -> None:
    """1,000 affiliates are listed."""
    benchmark.group = f"list {AFFILIATES} affiliates"
    runner.run(_call_all(server, AFFILIATES, CALLERS, _update))
    request = ListRequest(cluster_id="c").SerializeToString()
    benchmark(lambda: runner.run(server.call(LIST.path, request)))


@pytest.mark.parametrize("server", ["memory"], indirect=True)
@pytest.mark.parametrize("changes", [1, CHANGES])
def test_fan_out(benchmark: Any, runner: asyncio.Runner, server: Server, changes: int) -> None:
    """From the first of some changes until each of 200 watchers has heard of all of them."""
    benchmark.group = f"changes to {WATCHERS} watchers"

    async def open_all() -> tuple[list[Any], list[Any]]:
        channels = [await server.connect() for _ in range(2)]
        # One after the other connection: 250 streams is the most for one.
        pairs = itertools.islice(itertools.cycle(channels), WATCHERS)
        return channels, [await server.watch(channel, "c") for channel in pairs]

    async def hear(stream: Any) -> None:
        for _ in range(changes):
            assert await stream.read() is not grpc.aio.EOF

    async def change_all() -> None:
        heard = [asyncio.create_task(hear(stream)) for stream in streams]
        await _call_all(server, changes, 20, _update)
        await asyncio.gather(*heard)

    channels, streams = runner.run(open_all())
    benchmark.pedantic(lambda: runner.run(change_all()), rounds=10, warmup_rounds=1)
    for channel in channels:
        runner.run(channel.close())


@pytest.mark.parametrize("server", ["memory"], indirect=True)
def test_memory_of_affiliates(benchmark: Any, runner: asyncio.Runner, server: Server) -> None:
    """What the process grows by for each of 20,000 affiliates."""
    benchmark.group = f"{CLUSTERS * AFFILIATES} affiliates appear"
    runner.run(_call_all(server, CALLS, CALLERS, _hello))
    before = server.memory

    def fill(number: int) -> tuple[str, bytes]:
        return _update(number, f"cluster-{number // AFFILIATES}")

    many = CLUSTERS * AFFILIATES
    benchmark.pedantic(lambda: runner.run(_call_all(server, many, CALLERS, fill)), rounds=1)
    each = (server.memory - before) // many
    benchmark.extra_info.update(empty=before, each=each)
    print(f"\n{before >> 20} MiB with no affiliate, and {each} bytes for each of {many}")


@pytest.mark.parametrize("server", ["memory"], indirect=True)
def test_memory_of_watchers(benchmark: Any, runner: asyncio.Runner, server: Server) -> None:
    """What the process grows by for each of 1,000 idle watchers on 10 connections."""
    benchmark.group = "1000 watchers open"
    runner.run(_call_all(server, CALLS, CALLERS, _hello))
    before = server.memory
    channels, streams = [], []

    async def open_all() -> None:
        for _ in range(10):
            channel = await server.connect()
            channels.append(channel)
            streams.extend([await server.watch(channel, "c") for _ in range(100)])

    benchmark.pedantic(lambda: runner.run(open_all()), rounds=1)
    each = (server.memory - before) // len(streams)
    benchmark.extra_info.update(each=each)
    print(f"\n{each} bytes for each of {len(streams)} watchers")
    for channel in channels:
        runner.run(channel.close())
