"""Traffic from one namespace to another, every byte of it checked at the other end."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.netns.namespace import SO_RCVBUFFORCE, Namespace
from tests.peers import need

BLOCK = 1 << 18
TCP_TIMEOUT = 30.0
UDP_TIMEOUT = 1.0

# The pure twin carries the same traffic a few hundred times slower.
TRANSFER = (1 if os.environ.get("KUBESPAN_PURE") else 16) << 20


def family_of(address: str) -> socket.AddressFamily:
    """Tell which address family a literal address is of."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def send_tcp(sender: Namespace, receiver: Namespace, address: str, size: int = TRANSFER) -> None:
    """Send random bytes over TCP to an address of the receiver; they arrive whole and in order."""
    with receiver.socket(family_of(address), socket.SOCK_STREAM) as listener:
        listener.settimeout(TCP_TIMEOUT)
        listener.bind((address, 0))
        listener.listen()
        arrived: list[str] = []
        thread = threading.Thread(target=lambda: arrived.append(_digest_of_one(listener)))
        thread.start()
        try:
            sent = _send_blocks(sender, listener.getsockname(), size)
        finally:
            thread.join()
    assert arrived == [sent], f"{size} bytes over TCP to {address} arrive as they were sent"


def _digest_of_one(listener: socket.socket) -> str:
    connection, _ = listener.accept()
    digest = hashlib.blake2b()
    with connection:
        connection.settimeout(TCP_TIMEOUT)
        while block := connection.recv(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _send_blocks(sender: Namespace, address: Any, size: int) -> str:
    digest = hashlib.blake2b()
    with sender.socket(family_of(address[0]), socket.SOCK_STREAM) as connection:
        connection.settimeout(TCP_TIMEOUT)
        connection.connect(address)
        for start in range(0, size, BLOCK):
            block = os.urandom(min(BLOCK, size - start))
            digest.update(block)
            connection.sendall(block)
    return digest.hexdigest()


@contextmanager
def udp_pair(
    sender: Namespace, receiver: Namespace, address: str
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Open two UDP sockets, the first connected to the second, which is bound to the address."""
    family = family_of(address)
    with (
        receiver.socket(family, socket.SOCK_DGRAM) as far,
        sender.socket(family, socket.SOCK_DGRAM) as near,
    ):
        for end in (near, far):
            end.settimeout(UDP_TIMEOUT)
            end.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        far.bind((address, 0))
        near.connect(far.getsockname())
        yield near, far


def echo_udp(sender: Namespace, receiver: Namespace, address: str, *sizes: int) -> None:
    """Send datagrams of these sizes one by one; each arrives and comes back unchanged."""
    with udp_pair(sender, receiver, address) as (near, far):
        for size in sizes:
            data = os.urandom(size)
            near.send(data)
            arrived, source = far.recvfrom(1 << 16)
            assert arrived == data, f"a datagram of {size} bytes to {address} arrives unchanged"
            far.sendto(arrived, source)
            assert near.recv(1 << 16) == data, f"and comes back from {address}"


def burst_udp(sender: Namespace, receiver: Namespace, address: str, size: int = 1200) -> None:
    """Send a burst that fits every buffer on the way; all of it arrives, in the order sent."""
    burst = [number.to_bytes(4, "big") + os.urandom(size - 4) for number in range(64)]
    with udp_pair(sender, receiver, address) as (near, far):
        for data in burst:
            near.send(data)
        arrived = [far.recv(1 << 16) for _ in burst]
    assert arrived == burst, f"a burst to {address} arrives whole and in order"


def iperf3(client: Namespace, server: Namespace, address: str, *options: str) -> dict[str, Any]:
    """Run iperf3 between two namespaces and return its report's end."""
    need("iperf3")
    serving = server.start("iperf3", "-s", "-1", "-B", address, "--forceflush")
    try:
        assert serving.stdout is not None
        while "Server listening" not in (line := serving.stdout.readline()):
            assert line, "the iperf3 server started"
        report = json.loads(client.run("iperf3", "-J", "-c", address, *options))
        end: dict[str, Any] = report["end"]
        return end
    finally:
        serving.terminate()
        serving.communicate()
