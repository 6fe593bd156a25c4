"""The window in use: several clients over a real socket, quick, slow, talkative and rude."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kubespan.api.listener import Listener, listen
from kubespan.api.server import Server
from tests.api.desk import Desk, section

LOG = logging.getLogger("tests.api")
PATIENCE = 30.0
"""Seconds after which an answer is not coming at all."""

DONE = b"errno=0\n\n"


class Client:
    """One connection to the window."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def end(self) -> None:
        """Send nothing more, but go on reading."""
        self._writer.write_eof()

    async def answer(self) -> bytes:
        return await asyncio.wait_for(self._reader.readuntil(b"\n\n"), PATIENCE)

    async def rest(self) -> bytes:
        """Return everything until the server hangs up."""
        return await asyncio.wait_for(self._reader.read(), PATIENCE)

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return


@dataclass(slots=True)
class Window:
    """A server in a folder of its own, and those who look in."""

    desk: Desk
    server: Server
    listener: Listener
    clients: list[Client]

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_unix_connection(self.listener.path))
        self.clients.append(client)
        return client


@asynccontextmanager
async def window() -> AsyncIterator[Window]:
    with tempfile.TemporaryDirectory() as directory:
        desk, listener = Desk(), listen("wg0", directory=Path(directory))
        one = Window(desk, Server(listener, desk, LOG), listener, [])
        await one.server.start()
        try:
            yield one
        finally:
            await one.server.stop()
            for client in one.clients:
                await client.close()
            listener.close()


def dump(desk: Desk) -> bytes:
    return desk.request("get=1").text.encode()


def test_one_connection_serves_many_requests() -> None:
    async def scenario() -> None:
        async with window() as one:
            client = await one.connect()
            client.send(b"set=1\nlisten_port=5\n\n")
            assert await client.answer() == DONE
            client.send(b"get=1\n\n")
            assert await client.answer() == dump(one.desk)
            assert one.desk.listen_port == 5

    asyncio.run(scenario())


def test_pipelined_requests_are_answered_in_order() -> None:
    async def scenario() -> None:
        async with window() as one:
            client = await one.connect()
            client.send(b"set=1\nfwmark=1\n\nget=1\n\nset=1\nfwmark=x\n\nset=1\nfwmark=2\n\n")
            assert await client.answer() == DONE
            assert b"fwmark=1\n" in await client.answer()
            assert await client.answer() == f"errno=-{errno.EINVAL}\n\n".encode()
            assert await client.answer() == DONE
            assert one.desk.fwmark == 2

    asyncio.run(scenario())


def test_request_may_come_in_pieces() -> None:
    async def scenario() -> None:
        async with window() as one:
            client, other = await one.connect(), await one.connect()
            for byte in b"set=1\nfwmark=7\n\n":
                client.send(bytes([byte]))
                other.send(b"get=1\n\n")
                await other.answer()
            assert await client.answer() == DONE
            assert one.desk.fwmark == 7

    asyncio.run(scenario())


def test_clients_do_not_wait_for_each_other() -> None:
    async def scenario() -> None:
        async with window() as one:
            idle, halfway, quick = [await one.connect() for _ in range(3)]
            halfway.send(b"set=1\nfwmark=1\n")
            quick.send(b"set=1\nlisten_port=9\n\n")
            assert await quick.answer() == DONE
            assert one.desk.fwmark == 0
            halfway.send(b"\n")
            assert await halfway.answer() == DONE
            assert one.desk.fwmark == 1
            idle.send(b"get=1\n\n")
            assert b"listen_port=9\n" in await idle.answer()

    asyncio.run(scenario())


def test_client_that_does_not_read_is_not_answered_further_and_loses_nothing() -> None:
    many = 400

    async def scenario() -> None:
        async with window() as one:
            one.desk.set(section(), *(f"allowed_ip=10.0.{n}.0/24" for n in range(250)))
            looks = 0
            expected = dump(one.desk)
            look = one.desk.counters

            def counted() -> dict[str, int | str]:
                nonlocal looks
                looks += 1
                return dict(look())

            one.desk.counters = counted  # type: ignore[method-assign]
            with socket.socket(socket.AF_UNIX) as slow:
                slow.connect(str(one.listener.path))
                slow.sendall(b"get=1\n\n" * many)
                slow.shutdown(socket.SHUT_WR)
                quick = await one.connect()
                quick.send(b"get=1\n\n")
                assert await quick.answer() == expected
                assert 1 < looks < many
                slow.setblocking(False)
                reader, writer = await asyncio.open_unix_connection(sock=slow)
                told = await asyncio.wait_for(reader.read(), PATIENCE)
                writer.close()
            assert told == expected * many

    asyncio.run(scenario())


@pytest.mark.parametrize("rude", [b"GET / HTTP/1.1\r\n\r\n", b"\n", b"get=2\n\n"])
def test_client_that_makes_no_request_is_hung_up_on(
    rude: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with window() as one:
            client, other = await one.connect(), await one.connect()
            client.send(b"set=1\nfwmark=1\n\n" + rude)
            assert await client.rest() == DONE
            other.send(b"get=1\n\n")
            assert b"fwmark=1\n" in await other.answer()

    asyncio.run(scenario())
    assert caplog.messages == ["UAPI: the first line is neither get=1 nor set=1"]


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"set=1\nfwmark=1\n", DONE),
        (b"set=1\nfwmark=1\nlisten_port=", f"errno=-{errno.EPROTO}\n\n".encode()),
        (b"set=1\nfwmark=1\n\n", DONE),
    ],
)
def test_end_of_the_connection_ends_the_request(request_: bytes, answer: bytes) -> None:
    async def scenario() -> None:
        async with window() as one:
            client = await one.connect()
            client.send(request_)
            client.end()
            assert await client.rest() == answer
            assert one.desk.fwmark == 1

    asyncio.run(scenario())


def test_client_that_leaves_in_the_middle_changes_nothing_for_others() -> None:
    async def scenario() -> None:
        async with window() as one:
            client, other = await one.connect(), await one.connect()
            client.send(b"get=1\n\n" * 100)
            await client.close()
            other.send(b"get=1\n\n")
            assert await other.answer() == dump(one.desk)

    asyncio.run(scenario())


def test_refusal_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with window() as one:
            client = await one.connect()
            client.send(b"set=1\nfwmark=x\n\nset=1\nfwmark=1\n\n")
            assert await client.answer() == f"errno=-{errno.EINVAL}\n\n".encode()
            assert await client.answer() == DONE

    asyncio.run(scenario())
    assert [message.partition(":")[2][:14] for message in caplog.messages] == [" line 2: fwmar"]


def test_stop_hangs_up_and_leaves_the_listener_to_its_maker() -> None:
    async def scenario() -> None:
        async with window() as one:
            client = await one.connect()
            client.send(b"get=1\n\n")
            await client.answer()
            await one.server.stop()
            assert await client.rest() == b""
            assert one.listener.is_reachable
            assert one.listener.socket.fileno() != -1

    asyncio.run(scenario())
