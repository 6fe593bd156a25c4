"""Lanes without threads: the event loop reads the TUN device and the sockets, packet by packet.

The whole data path of the pure build, where every packet is the core's to decide about. Handshake
messages wait in a queue of their own, so that a flood of them holds up nothing else.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial

from kubespan.device.bind import Received, Sockets, receive
from kubespan.device.lanes import Hearer
from kubespan.linux.tun import Tun
from kubespan.model.constants import HANDSHAKE_QUEUE
from kubespan.noise.messages import MessageType

BATCH = 64
"""Packets taken from one descriptor before others have their turn."""

HANDSHAKES_A_TURN = 8
"""Handshake messages handled before others have their turn: a few milliseconds of work."""


class TunReader:
    """Reads the TUN device whenever there is something to read."""

    def __init__(
        self, tun: Tun, hear_packet: Callable[[bytes], None], hear_gone: Callable[[], None]
    ) -> None:
        self._tun = tun
        self._hear_packet = hear_packet
        self._hear_gone = hear_gone
        self._is_open = False

    def open(self) -> None:
        """Read from now on."""
        if not self._is_open:
            self._is_open = True
            asyncio.get_running_loop().add_reader(self._tun.descriptor, self._read)

    def close(self) -> None:
        """Read no more."""
        if self._is_open:
            self._is_open = False
            asyncio.get_running_loop().remove_reader(self._tun.descriptor)

    def _read(self) -> None:
        for _ in range(BATCH):
            try:
                packet = self._tun.read()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.EBADFD:
                    self.close()
                    self._hear_gone()
                return
            self._hear_packet(packet)


class Readers:
    """Lanes of the pure build."""

    implementation = "pure"
    aead = "pynacl"
    merges = False
    sorts = False

    def __init__(self, tun: Tun, hearer: Hearer) -> None:
        self._hearer = hearer
        self._tun_reader = TunReader(tun, hearer.hear_packet, hearer.hear_gone)
        self._read_sockets: tuple[socket.socket, ...] = ()
        self._handshakes: deque[Received] = deque()
        self._is_handling = False
        tun.clear_offloads()

    def attend(self, sockets: Sockets | None) -> None:
        """Read these sockets and no others; with None, read nothing."""
        if sockets is None:
            self._tun_reader.close()
        else:
            self._tun_reader.open()
        loop = asyncio.get_running_loop()
        for one in self._read_sockets:
            loop.remove_reader(one)
        self._read_sockets = sockets.open if sockets is not None else ()
        for one in self._read_sockets:
            loop.add_reader(one, partial(self._read, one))

    def close(self) -> None:
        """Read nothing any more."""
        self.attend(None)
        self._handshakes.clear()

    def counters(self) -> Mapping[str, int]:
        """Return nothing: all is counted above."""
        return {}

    def _read(self, one: socket.socket) -> None:
        for _ in range(BATCH):
            received = receive(one)
            if received is None:
                return
            if received.datagram[:1] == bytes((MessageType.TRANSPORT,)):
                self._hand_up(received)
            else:
                self._queue(received)

    def _queue(self, received: Received) -> None:
        if len(self._handshakes) >= HANDSHAKE_QUEUE:
            self._hearer.hear_overflow()
            return
        self._handshakes.append(received)
        if not self._is_handling:
            self._is_handling = True
            asyncio.get_running_loop().call_soon(self._handle_handshakes)

    def _handle_handshakes(self) -> None:
        for _ in range(min(HANDSHAKES_A_TURN, len(self._handshakes))):
            self._hand_up(self._handshakes.popleft())
        self._is_handling = bool(self._handshakes)
        if self._is_handling:
            asyncio.get_running_loop().call_soon(self._handle_handshakes)

    def _hand_up(self, received: Received) -> None:
        self._hearer.hear_datagram(
            received.datagram,
            received.arrival,
            queued=len(self._handshakes),
            congestion=received.congestion,
        )
