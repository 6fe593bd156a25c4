"""`kubespan discovery serve`: its options, and the real process, stopped and killed."""

from __future__ import annotations

import asyncio
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import grpc
import pytest

from kubespan.cli.discovery_serve import raise_descriptor_limit
from kubespan.cli.main import main
from kubespan.discovery.method import AFFILIATE_DELETE, LIST
from kubespan.discovery.proto.server_pb2 import AffiliateDeleteRequest, ListRequest
from tests.discovery.authority import write_pair
from tests.discovery.host import CLUSTER, PATIENCE, PRIVATE_CHANNEL, Client
from tests.peers import REPOSITORY

SERVE = ("discovery", "serve")


# ------------------------------------------------------------------------------- the options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "write --tls-cert FILE and --tls-key FILE, or --insecure"),
        (("--tls-cert", "c"), "--tls-cert needs its key; write --tls-key"),
        (("--tls-key", "k"), "--tls-key needs its certificate; write --tls-cert"),
        (("--insecure", "--tls-key", "k"), "--insecure is plaintext; leave it out"),
        (("--insecure", "--tls-cert", "c", "--tls-key", "k"), "--insecure is plaintext"),
        (("--tls-cert", "/none", "--tls-key", "/none"), "--tls-cert /none cannot be read"),
        (("--insecure", "--listen", "here"), "--listen 'here' is not an address"),
        (("--insecure", "--metrics", ":x"), "--metrics ':x' is not an address"),
        (("--insecure", "--gc-interval", "60"), "--gc-interval '60' is not a duration"),
        (("--insecure", "--gc-interval", "5ms"), "--gc-interval '5ms' is too short"),
        (("--insecure", "--redirect", "https://x:443"), "--redirect 'https://x:443'"),
        (("--insecure", "--redirect", "x"), "write discovery.example:443"),
        (("--insecure", "--redirect", "x:0"), "write discovery.example:443"),
        (("--insecure", "--redirect", ":443"), "write discovery.example:443"),
        (("--insecure", "--inspect"), "--inspect has no address to be on; write --metrics"),
    ],
)
def test_mistake_is_one_line(
    options: Sequence[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SERVE, *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("kubespan: ")
    assert said in line


def test_unknown_level_of_the_log_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBESPAN_LOG", "loud")
    assert main([*SERVE, "--insecure", "--redirect", "discovery.example:443"]) == 2
    assert "KUBESPAN_LOG" in capsys.readouterr().err


def test_limit_of_descriptors_is_raised_as_far_as_it_goes() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, before[1]), before[1]))
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


# ------------------------------------------------------------------------------- the process


@dataclass(slots=True)
class Running:
    """A server that is a process of its own, and where it said it is."""

    process: subprocess.Popen[str]
    address: str
    lines: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with grpc.aio.insecure_channel(self.address, options=PRIVATE_CHANNEL) as channel:
            yield Client(channel)

    def end(self, number: signal.Signals) -> int:
        """Return the exit code; what was still said is in `lines`."""
        for _ in range(2):  # as `timeout` and some shells do: to the process, and to its group
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self.lines += _pipe(self.process).read().splitlines()
        return code


def start(*options: str, environment: dict[str, str] | None = None) -> Running:
    """Return a server that is ready."""
    process = subprocess.Popen(
        (sys.executable, "-m", "kubespan.cli.main", *SERVE, *options),
        cwd=REPOSITORY,
        env={**os.environ, "KUBESPAN_LOG": "info", **(environment or {})},
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = []
    for line in _pipe(process):
        lines.append(line.rstrip())
        if match := re.search(r"event=listening address=(\S+)", line):
            return Running(process, match[1], lines)
    process.wait(PATIENCE)
    raise AssertionError(f"the server did not start: {lines}")


@contextmanager
def running(*options: str, environment: dict[str, str] | None = None) -> Iterator[Running]:
    one = start(*options, environment=environment)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait(PATIENCE)
        _pipe(one.process).close()


def _pipe(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stderr is not None
    return process.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(PATIENCE)
        options = ("--listen", "127.0.0.1:0", "--insecure", "--state", str(tmp_path / "state"))
        with running(*options, environment={"NOTIFY_SOCKET": str(path)}) as one:
            assert manager.recv(100) == b"READY=1"

            async def scenario() -> None:
                async with one.client() as client:
                    watch = client.watch()
                    await watch.next()
                    await client.update()
                    assert len((await watch.next()).affiliates) == 1
                    code = await asyncio.to_thread(one.end, number)
                    assert code == 0
                    assert await watch.rest() == []
                    assert await watch.code() is grpc.StatusCode.OK

            asyncio.run(scenario())
            assert manager.recv(100) == b"STOPPING=1"
            assert [re.search(r'event=("[^"]*"|\S+)', line)[1] for line in one.lines] == [  # type: ignore[index]
                '"the state was restored"',
                "listening",
                "stopping",
                "stopped",
            ]


def test_each_call_is_a_line_where_debug_is_asked_for(tmp_path: Path) -> None:
    options = ("--listen", "127.0.0.1:0", "--insecure")
    with running(*options, environment={"KUBESPAN_LOG": "debug"}) as one:

        async def scenario() -> None:
            async with one.client() as client:
                await client.update("node-1")

        asyncio.run(scenario())
        assert one.end(signal.SIGTERM) == 0
        (call,) = [line for line in one.lines if "event=call" in line]
        assert "method=AffiliateUpdate" in call
        assert "affiliate=node-1" in call
        assert CLUSTER not in call


def test_tls_and_web_are_served(tmp_path: Path) -> None:
    cert, key = write_pair(tmp_path)
    options = ("--listen", "127.0.0.1:0", "--tls-cert", str(cert), "--tls-key", str(key))
    with running(*options, "--metrics", "127.0.0.1:0", "--gc-interval", "1h") as one:

        async def scenario() -> None:
            credentials = grpc.ssl_channel_credentials(cert.read_bytes())
            async with grpc.aio.secure_channel(one.address, credentials) as channel:
                await Client(channel).update()

        asyncio.run(scenario())
        assert "tls=true" in one.lines[-1]
        assert re.search(r"metrics=127\.0\.0\.1:\d+", one.lines[-1])
        assert one.end(signal.SIGTERM) == 0


def test_port_that_somebody_has_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main([*SERVE, "--insecure", "--listen", where]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"kubespan: --listen {where} (another program has that port")


def test_address_of_another_machine_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SERVE, "--insecure", "--listen", "192.0.2.1:0"]) == 1
    assert "this machine has no such address" in capsys.readouterr().err


# ------------------------------------------------------------------------- killed in the middle


@dataclass(slots=True)
class Member:
    """One affiliate that changes all the time, and what the server may hold of it."""

    name: str
    acknowledged: bytes | None = None
    """Its data when the server last said yes, None when it is gone."""

    attempted: list[bytes | None] = field(default_factory=list)
    """What was asked for since then, with no answer."""

    async def change(self, client: Client, data: bytes | None, address: str) -> None:
        """Ask for a change, and write down what came of it. Raises AioRpcError."""
        metadata = (("x-real-ip", address),)
        self.attempted.append(data)
        if data is None:
            request = AffiliateDeleteRequest(cluster_id=CLUSTER, affiliate_id=self.name)
            await client.call(AFFILIATE_DELETE, request, metadata=metadata)
        else:
            await client.update(self.name, data, [data[:16]], metadata=metadata)
        self.acknowledged, self.attempted = data, []

    def check(self, found: bytes | None) -> None:
        assert found in {self.acknowledged, *self.attempted}, self.name
        self.acknowledged, self.attempted = found, []


async def churn(client: Client, member: Member, dice: random.Random) -> None:
    """Change a member until the server is gone."""
    address = f"10.0.{dice.randrange(256)}.{dice.randrange(256)}"
    while True:
        data = None if dice.random() < 0.1 else dice.randbytes(dice.randrange(1, 2048))
        try:
            await member.change(client, data, address)
        except grpc.aio.AioRpcError:
            return


async def live_and_die(one: Running, members: list[Member], dice: random.Random) -> int:
    """Let members change while the server is killed; return how much was acknowledged before."""
    async with one.client() as client:
        response: Any = await client.call(LIST, ListRequest(cluster_id=CLUSTER))
        found = {affiliate.id: affiliate.data for affiliate in response.affiliates}
        for member in members:
            member.check(found.pop(member.name, None))
        assert found == {}
        changing = [asyncio.create_task(churn(client, member, dice)) for member in members]
        await asyncio.sleep(dice.uniform(0.02, 0.3))
        one.process.kill()
        await asyncio.gather(*changing)
    return sum(member.acknowledged is not None for member in members)


def kill_and_restart(directory: Path, times: int) -> None:
    dice = random.Random(4)
    members = [Member(f"member-{number}") for number in range(20)]
    address, most = "127.0.0.1:0", 0
    for _ in range(times):
        options = ("--insecure", "--state", str(directory), "--trust-x-real-ip")
        with running("--listen", address, *options) as one:
            address = one.address
            most = max(most, asyncio.run(live_and_die(one, members, dice)))
    assert most > 0


def test_nothing_that_was_acknowledged_is_lost_by_killing_it(tmp_path: Path) -> None:
    kill_and_restart(tmp_path, 5)


@pytest.mark.slow
def test_nothing_that_was_acknowledged_is_lost_by_killing_it_often(tmp_path: Path) -> None:
    kill_and_restart(tmp_path, 50)
