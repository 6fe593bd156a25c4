"""How much one call of kubespan/native/udp.h takes, on real sockets: compiled for the test."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubespan.device.bind import SO_RCVBUFFORCE
from tests.fastpath.offload_library import NATIVE, compiler

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a large receive buffer needs root")
SLOTS = 128
BULK_BYTES = 512 * 1024
KEEP_NOTHING, NO_ROOM = 2**64 - 1, -(2**31)
LARGE, SMALL = bytes(60_000), bytes(60)
LARGE_AT_ONCE = BULK_BYTES // len(LARGE)


class Datagram(ctypes.Structure):
    """The beginning of a udp_datagram."""

    _fields_ = (("data", ctypes.c_void_p), ("length", ctypes.c_size_t))

    def bytes(self) -> bytes:
        """What lies there now."""
        return ctypes.string_at(self.data, self.length)


class Queue(ctypes.Structure):
    """A udp_queue."""

    _fields_ = (("fd", ctypes.c_int), ("most", ctypes.c_int))


class Receiver:
    """A bound socket, the C that receives from it, and who sends to it."""

    def __init__(self, folder: Path) -> None:
        library = folder / "udp.so"
        command = (compiler(), "-std=gnu11", "-O2", "-shared", "-fPIC", "-o", library)
        subprocess.run((*command, NATIVE / "udp.c"), check=True)
        self._c = ctypes.CDLL(str(library))
        self._c.udp_receiver_new.restype = ctypes.c_void_p
        self._c.udp_received.restype = ctypes.c_void_p
        self._c.udp_number.restype = ctypes.c_uint64
        self._state = ctypes.c_void_p(self._c.udp_receiver_new())
        self._queue = Queue()
        self._here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._here.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        self._here.bind(("127.0.0.1", 0))
        self._queue.fd = self._here.fileno()
        self._there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def calls(self, *datagrams: bytes) -> list[int]:
        """How many of them each call took, until none was left."""
        self.send(*datagrams)
        taken: list[int] = []
        while sum(taken) < len(datagrams):
            taken.append(self.receive())
            assert taken[-1] > 0
        assert self.receive() == 0
        return taken

    def send(self, *datagrams: bytes) -> None:
        """Let them wait."""
        for datagram in datagrams:
            self._there.sendto(datagram, self._here.getsockname())

    def receive(self, keep: int = KEEP_NOTHING) -> int:
        """How many one call took."""
        queue = ctypes.byref(self._queue)
        return int(self._c.udp_receive(self._state, queue, ctypes.c_uint64(keep)))

    def number(self, at: int) -> int:
        """The number of a message of the last call."""
        datagram = ctypes.c_void_p(self._c.udp_received(self._state, at))
        return int(self._c.udp_number(self._state, datagram))

    def message(self, number: int) -> Datagram:
        """Where a message of the last call lies."""
        return Datagram.from_address(self._c.udp_received(self._state, number))

    def close(self) -> None:
        self._c.udp_receiver_free(self._state)
        self._here.close()
        self._there.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    receiver = Receiver(tmp_path)
    yield receiver
    receiver.close()


def test_of_small_messages_a_call_takes_as_many_as_there_are_slots(receiver: Receiver) -> None:
    assert receiver.calls(*[SMALL] * 300) == [SLOTS, SLOTS, 44]


def test_after_large_ones_a_call_takes_no_more_than_the_cache_holds(receiver: Receiver) -> None:
    assert receiver.calls(LARGE) == [1]
    full, rest = divmod(50, LARGE_AT_ONCE)
    assert receiver.calls(*[LARGE] * 50) == [LARGE_AT_ONCE] * full + [rest]


def test_small_ones_after_large_ones_are_soon_taken_together_again(receiver: Receiver) -> None:
    receiver.calls(LARGE)
    assert receiver.calls(*[SMALL] * 100) == [8, 16, 32, 44]
    assert receiver.calls(*[SMALL] * SLOTS) == [SLOTS]


def test_a_small_one_between_large_ones_hardly_counts(receiver: Receiver) -> None:
    receiver.calls(LARGE)
    receiver.calls(SMALL)
    assert receiver.calls(*[LARGE] * 20) == [2 * LARGE_AT_ONCE, 4]


def test_mixed_ones_count_by_their_mean(receiver: Receiver) -> None:
    receiver.calls(LARGE, SMALL, SMALL)
    mean = (len(LARGE) + 2 * len(SMALL)) / 3
    assert receiver.calls(*[SMALL] * 60)[0] == int(BULK_BYTES / mean)


def test_an_empty_datagram_is_taken_too(receiver: Receiver) -> None:
    assert receiver.calls(b"", LARGE) == [2]
    assert receiver.calls(b"") == [1]


def test_what_is_kept_stays_where_it_is(receiver: Receiver) -> None:
    """All slots are kept, then all but as many as a call takes: only those are used again."""
    receiver.calls(LARGE)
    datagrams = [bytes([number]) * len(LARGE) for number in range(SLOTS + LARGE_AT_ONCE)]
    receiver.send(*datagrams)
    kept = []
    for call in range(SLOTS // LARGE_AT_ONCE):
        assert receiver.receive(keep=0 if call else KEEP_NOTHING) == LARGE_AT_ONCE
        kept += [receiver.message(at) for at in range(LARGE_AT_ONCE)]
    assert [receiver.receive(keep=few) for few in (0, LARGE_AT_ONCE - 1)] == [NO_ROOM] * 2
    assert receiver.receive(keep=LARGE_AT_ONCE) == LARGE_AT_ONCE
    assert [receiver.number(0), receiver.number(1)] == [SLOTS, SLOTS + 1]
    kept[:LARGE_AT_ONCE] = []
    kept += [receiver.message(at) for at in range(LARGE_AT_ONCE)]
    assert [one.bytes() for one in kept] == datagrams[LARGE_AT_ONCE:]
    receiver.send(LARGE)
    assert [receiver.receive(), receiver.number(0)] == [1, 0]


def test_half_of_the_slots_are_enough_however_small_messages_are(receiver: Receiver) -> None:
    receiver.send(*[SMALL] * (SLOTS + 100))
    assert receiver.receive() == SLOTS
    half = SLOTS // 2
    assert [receiver.receive(keep=few) for few in (1, half - 1)] == [NO_ROOM] * 2
    assert receiver.receive(keep=half) == half


def test_a_call_ends_where_the_slots_do(receiver: Receiver) -> None:
    receiver.send(*[SMALL] * (SLOTS - 4))
    assert receiver.receive() == SLOTS - 4
    receiver.send(*[SMALL] * 20)
    taken = [receiver.receive(keep=SLOTS - 4), receiver.receive(keep=SLOTS - 4)]
    assert [*taken, receiver.number(0)] == [4, 16, SLOTS]
