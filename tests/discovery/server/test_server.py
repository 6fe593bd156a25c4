"""The server's port: plaintext, TLS, pings, and who else has it."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest import mock

import grpc
import pytest

from kubespan.discovery.method import HELLO
from kubespan.discovery.proto.server_pb2 import HelloRequest
from kubespan.discovery.server.certificate import CertificateFiles
from kubespan.discovery.server.listening import Listening
from kubespan.discovery.server.server import OPTIONS, Server
from kubespan.model.errors import SystemFault
from tests.discovery.authority import write_pair
from tests.discovery.host import CLUSTER, PATIENCE, Client, host

HELLO_REQUEST = HelloRequest(cluster_id=CLUSTER)


async def shake_hands(port: int, **limits: ssl.TLSVersion) -> ssl.SSLObject:
    """Shake hands and return what came of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    for name, version in limits.items():
        setattr(context, name, version)
    context.set_ciphers("ALL:@SECLEVEL=0")
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    one: ssl.SSLObject = writer.get_extra_info("ssl_object")
    writer.transport.abort()
    return one


def test_tls_is_served_and_certificates_are_replaced_under_way(tmp_path: Path) -> None:
    files = CertificateFiles(*write_pair(tmp_path))

    async def scenario() -> None:
        async with host(certificate=files) as one, one.client() as early:
            await early.call(HELLO, HELLO_REQUEST)
            watch = early.watch()
            await watch.next()
            write_pair(tmp_path, "another")
            assert files.look()
            async with one.client() as stranger:
                # It trusts the old certificate only, and is shown the new one.
                with pytest.raises(grpc.aio.AioRpcError):
                    await stranger.call(HELLO, HELLO_REQUEST, timeout=5)
            one.certificate = files.pair.chain
            async with one.client() as late:
                await late.update("news")
                assert (await watch.next()).affiliates[0].id == "news"
            await early.call(HELLO, HELLO_REQUEST)

    asyncio.run(scenario())


def test_tls_offers_http2_and_no_version_before_1_2(tmp_path: Path) -> None:
    files = CertificateFiles(*write_pair(tmp_path))

    async def scenario() -> None:
        async with host(certificate=files) as one:
            port = one.server.listening.endpoint.port
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                shaken = await shake_hands(port, minimum_version=version, maximum_version=version)
                assert shaken.selected_alpn_protocol() == "h2"
            with (
                pytest.warns(DeprecationWarning, match="TLS"),
                pytest.raises((ssl.SSLError, ConnectionError)),
            ):
                await shake_hands(
                    port,
                    minimum_version=ssl.TLSVersion.TLSv1,
                    maximum_version=ssl.TLSVersion.TLSv1_1,
                )

    asyncio.run(scenario())


def test_second_server_on_a_port_fails() -> None:
    async def scenario() -> None:
        async with host() as one:
            where = str(one.server.listening)
            with pytest.raises(SystemFault, match=r"--listen .* \(another program has that port"):
                async with host(address=where):
                    pass

    asyncio.run(scenario())


def test_port_that_grpc_cannot_have_is_said_too() -> None:
    async def scenario() -> None:
        with mock.patch.object(Listening, "bind", autospec=True):
            async with host() as one:
                handler = one.servicer.handler()
                second = Server(handler, one.server.listening, None)
                with pytest.raises(SystemFault, match=r"--listen 127\.0\.0\.1:"):
                    await second.start()
                await second.stop(0)

    asyncio.run(scenario())


def test_each_family_finds_the_server() -> None:
    async def scenario() -> None:
        async with host(address=":0") as one:
            port = one.server.listening.endpoint.port
            for target, address in ((f"ipv4:127.0.0.1:{port}", 4), (f"ipv6:[::1]:{port}", 16)):
                async with grpc.aio.insecure_channel(target) as channel:
                    response = await Client(channel).call(HELLO, HELLO_REQUEST)
                    assert len(response.client_ip) == address

    asyncio.run(scenario())


# HTTP/2 by hand, because no client library is as rude as this. RFC 9113 §3.4, §6.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
PING = bytes([0, 0, 8, 6, 0, 0, 0, 0, 0]) + bytes(8)
SETTINGS_FRAME, PING_FRAME, GOAWAY_FRAME = 4, 6, 7
MOST_STREAMS_SETTING = 3


@asynccontextmanager
async def raw_connection() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with host() as one:
        port = one.server.listening.endpoint.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(PREFACE)
        try:
            yield reader, writer
        finally:
            writer.close()
            await writer.wait_closed()


async def frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the kind of the next frame and what is in it."""
    header = await asyncio.wait_for(reader.readexactly(9), PATIENCE)
    return header[3], await reader.readexactly(int.from_bytes(header[:3]))


def test_nobody_is_sent_away_for_pinging() -> None:
    pings = 200

    async def scenario() -> None:
        async with raw_connection() as (reader, writer):
            kinds: Counter[int] = Counter()
            for number in range(pings):
                writer.write(PING)
                while kinds[PING_FRAME] <= number:
                    kinds[(await frame(reader))[0]] += 1
            assert kinds[GOAWAY_FRAME] == 0

    asyncio.run(scenario())


def test_connection_may_have_250_streams() -> None:
    async def scenario() -> None:
        async with raw_connection() as (reader, _):
            kind, content = await frame(reader)
            assert kind == SETTINGS_FRAME
            settings = dict(struct.iter_unpack(">HI", content))
            assert settings[MOST_STREAMS_SETTING] == 250

    asyncio.run(scenario())


def test_whoever_answers_no_ping_is_given_up() -> None:
    # The same, a hundred times faster.
    options = [(name, at // 100 if name.endswith("_ms") else at) for name, at in OPTIONS]

    async def scenario() -> None:
        with mock.patch("kubespan.discovery.server.server.OPTIONS", options):
            async with raw_connection() as (reader, _):
                await asyncio.wait_for(reader.read(-1), PATIENCE)
                assert reader.at_eof()

    asyncio.run(scenario())
