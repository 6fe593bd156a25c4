"""How a client's connection to a discovery service is made. Nothing is said here.

Each channel is for one attempt, with a connection of its own: gRPC would otherwise share one among
channels, and its pauses between attempts with it, while ours are decided elsewhere.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

import grpc
from grpc import aio

import kubespan
from kubespan.model.constants import AFFILIATE_TTL

KEEPALIVE_INTERVAL: Final = AFFILIATE_TTL / 10
"""Seconds of silence after which a ping asks whether the other side is there: official client."""

KEEPALIVE_TIMEOUT: Final = 20.0

MAX_MESSAGE_SIZE: Final = 8 << 20
"""Bytes of one message that we take. A cluster at all its limits is 4.6 MB. Taken apart, a message
made for that needs 32 times its size."""

OPTIONS: Final = (
    ("grpc.keepalive_time_ms", int(KEEPALIVE_INTERVAL * 1000)),
    ("grpc.keepalive_timeout_ms", int(KEEPALIVE_TIMEOUT * 1000)),
    ("grpc.keepalive_permit_without_calls", 0),
    # As many as it takes: a watch may be silent for hours.
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_SIZE),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.primary_user_agent", f"kubespan/{kubespan.__version__}"),
)


def open_channel(target: str, *, insecure: bool, authorities: bytes | None = None) -> aio.Channel:
    """Return a channel to `host:port`; it connects when something is first said on it.

    `authorities` are certificates in PEM, None: those that come with gRPC. Proxies of the
    environment are used as gRPC uses them, but never for a target on this host.
    """
    options = [*OPTIONS, ("grpc.enable_http_proxy", int(not is_local(target)))]
    if insecure:
        return aio.insecure_channel(target, options)
    credentials = grpc.ssl_channel_credentials(authorities)
    return aio.secure_channel(target, credentials, options)


def is_local(target: str) -> bool:
    """Whether a target is this very host, as far as its name tells."""
    host = target.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
