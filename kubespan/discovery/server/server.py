"""The gRPC server: one port, plaintext or TLS, and how connections are kept.

Speaks gRPC and nothing else. What it answers is the servicer's; how it treats a connection follows
the stock service where a client could tell. https://grpc.github.io/grpc/core/group__grpc__arg__keys.html
"""

from __future__ import annotations

from typing import Final

import grpc

from kubespan.discovery.server.certificate import CertificateFiles
from kubespan.discovery.server.listening import Listening
from kubespan.model.errors import SystemFault

LARGEST_MESSAGE: Final = 4 << 20
MOST_STREAMS: Final = 250
"""At once, on one connection. Both as the stock service announces them."""

MOST_CALLS: Final = 100_000
"""At once, over all connections: what waits for its turn is bounded, too."""

OPTIONS: Final = (
    # Two servers on one port would share its connections in silence.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_concurrent_streams", MOST_STREAMS),
    # Clients ping as often as they like, with a stream or without: nobody is sent away for it.
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    # We ask rarely, so that a watcher whose machine is gone does not stay for hours.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Nothing but identity: a compressed request is UNIMPLEMENTED.
    ("grpc.compression_enabled_algorithms_bitset", 1),
)


class Server:
    """Serves one handler on one port from `start` to `stop`."""

    def __init__(
        self,
        handler: grpc.GenericRpcHandler,
        listening: Listening,
        certificate: CertificateFiles | None,
    ) -> None:
        self.listening = listening
        self._certificate = certificate
        self._server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=MOST_CALLS)
        self._server.add_generic_rpc_handlers((handler,))

    async def start(self) -> None:
        """Accept calls from now on; `listening` says where. Raises SystemFault."""
        # Nothing may have it now; gRPC would hide in its own log what went wrong.
        with self.listening.bind():
            pass
        where = str(self.listening)
        try:
            if self._certificate is None:
                port = self._server.add_insecure_port(where)
            else:
                port = self._server.add_secure_port(where, self._certificate.credentials())
        except RuntimeError as error:
            raise SystemFault(f"{self.listening.option} {where}", 0) from error
        self.listening = self.listening.with_port(port)
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Accept nothing more, and return when calls have ended, or were cut off after `grace`."""
        await self._server.stop(grace)
