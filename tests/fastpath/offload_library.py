"""The C of kubespan/native/offload.h and checksum.h, compiled for a test and called through ctypes.

The extension module offers none of these functions to Python, so they are built beside it, from
the same sources. Callers get bytes back; buffers are exactly as large as the header promises.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from ctypes import POINTER, byref, c_size_t, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from pathlib import Path

import pytest

NATIVE = Path(__file__).resolve().parents[2] / "kubespan" / "native"
PARTS = ("offload_split.c", "offload_coalesce.c", "checksum.c", "sparse.c")
SOURCES = [NATIVE / name for name in PARTS]

TRUNCATED, BAD_IP, BAD_TRANSPORT, BAD_HEADER, UNSUPPORTED, TOO_MANY, FULL = range(-1, -8, -1)

SIZES = """
#include "offload.h"
const size_t size_of_batch = sizeof(struct offload_batch);
const size_t size_of_frame = sizeof(struct offload_frame);
const size_t size_of_line = sizeof(struct sparse_line);
uint32_t waiting_in(const struct sparse_line *line)
{
    uint32_t waiting = line->strangers;
    for (int flow = 0; flow < SPARSE_FLOWS; flow++)
        waiting += line->flows[flow].waiting;
    return waiting;
}
"""


class FrameError(Exception):
    """offload_parse refused a frame; the argument is its error."""


class _Frame(ctypes.Structure):
    _fields_ = (
        ("packet", c_void_p),
        ("packet_length", c_uint32),
        ("segments", c_uint32),
        ("segment_length", c_uint32),
        ("last_length", c_uint32),
        ("header_length", c_uint32),
        ("transport_offset", c_uint32),
        ("gso_size", c_uint32),
        ("ip_version", c_uint8),
        ("gso_type", c_uint8),
        ("transport", c_uint8),
        ("ip_sum", c_uint32),
        ("transport_sum", c_uint64),
    )


class _Slice(ctypes.Structure):
    _fields_ = (("base", c_void_p), ("length", c_size_t))


class _Write(ctypes.Structure):
    _fields_ = (
        ("iov", POINTER(_Slice)),
        ("iov_count", c_uint32),
        ("packets", c_uint32),
        ("bytes", c_size_t),
    )


@dataclass(frozen=True, slots=True)
class Write:
    """One write to the TUN: the frame, and the packets got back from offload_single if asked."""

    frame: bytes
    packets: int
    singles: tuple[bytes, ...] = ()


def compiler(name: str = "cc") -> str:
    """Return the C compiler, or skip the test."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no C compiler: {name} is not installed")
    return found


class OffloadLibrary:
    """The functions of offload.h and checksum.h, on bytes."""

    def __init__(self, folder: Path) -> None:
        sizes = folder / "sizes.c"
        sizes.write_text(SIZES)
        library = folder / "offload.so"
        command = (compiler(), "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared")
        sources = [str(path) for path in (*SOURCES, sizes)]
        subprocess.run((*command, "-fPIC", f"-I{NATIVE}", "-o", library, *sources), check=True)
        self._c = ctypes.CDLL(str(library))
        self._c.offload_segment.restype = c_size_t
        for name in ("sum", "copy", "sum_portable", "copy_portable"):
            getattr(self._c, f"checksum_{name}").restype = c_uint64
        assert c_size_t.in_dll(self._c, "size_of_frame").value == ctypes.sizeof(_Frame)
        self._batch = ctypes.create_string_buffer(c_size_t.in_dll(self._c, "size_of_batch").value)

    def split(self, frame: bytes, most: int = 65536) -> list[bytes]:
        """Return the packets of a frame, or raise FrameError."""
        f = _Frame()
        memory = (c_uint8 * len(frame)).from_buffer_copy(frame)
        error = self._c.offload_parse(byref(f), memory, c_size_t(len(frame)), c_uint32(most))
        if error:
            raise FrameError(error)
        packets = [self._segment(f, i) for i in range(f.segments)]
        if f.segments == 1:
            assert ctypes.string_at(f.packet, f.packet_length) == packets[0]
        return packets

    def _segment(self, f: _Frame, i: int) -> bytes:
        length = f.segment_length if i + 1 < f.segments else f.last_length
        out = (c_uint8 * length)()
        assert self._c.offload_segment(byref(f), c_uint32(i), out) == length
        return bytes(out)

    def coalesce(self, packets: list[bytes], features: int, *, undo: bool = False) -> list[Write]:
        """Return the writes for packets that fit one batch; undo: take joined ones apart again."""
        memory = [(c_uint8 * len(packet)).from_buffer_copy(packet) for packet in packets]
        taken = self._fill(memory, features)
        assert taken == len(packets), "the batch is full"
        return self._writes(undo)

    def pass_others(self, packets: list[bytes], features: int) -> tuple[list[Write], list[Write]]:
        """Return the writes that may go first in an empty line, and those that stand in it then."""
        memory = [(c_uint8 * len(packet)).from_buffer_copy(packet) for packet in packets]
        assert self._fill(memory, features) == len(packets), "the batch is full"
        line = ctypes.create_string_buffer(c_size_t.in_dll(self._c, "size_of_line").value)
        w, first = _Write(), []
        while self._c.offload_next_sparse(self._batch, line, c_uint64(0), byref(w)):
            first.append(Write(self._gather(w), int(w.packets)))
        rest = self._writes(undo=False)
        assert not self._c.waiting_in(line), "nobody is left in the line"
        return first, rest

    def count_taken(self, packets: list[bytes], features: int) -> int:
        """Return how many packets a batch takes before it is full."""
        return self._fill([(c_uint8 * len(p)).from_buffer_copy(p) for p in packets], features)

    def _fill(self, memory: list[ctypes.Array[c_uint8]], features: int) -> int:
        self._c.offload_begin(self._batch, c_uint32(features))
        for i, packet in enumerate(memory):
            error = self._c.offload_add(self._batch, packet, c_size_t(len(packet)))
            if error:
                assert error == FULL
                return i
        return len(memory)

    def _writes(self, undo: bool) -> list[Write]:
        w = _Write()
        writes = []
        while self._c.offload_next(self._batch, byref(w)):
            frame, packets = self._gather(w), int(w.packets)
            assert w.iov_count == packets + 1
            singles = [self._single(i, w) for i in range(packets)] if undo else []
            writes.append(Write(frame, packets, tuple(singles)))
        return writes

    def _single(self, i: int, w: _Write) -> bytes:
        self._c.offload_single(self._batch, c_uint32(i), byref(w))
        assert (w.packets, w.iov_count) == (1, 2)
        return self._gather(w)

    @staticmethod
    def _gather(w: _Write) -> bytes:
        pieces = [w.iov[i] for i in range(w.iov_count)]
        frame = b"".join(ctypes.string_at(piece.base, piece.length) for piece in pieces)
        assert len(frame) == w.bytes
        return frame

    def checksum(self, data: bytes, at: int, *, portable: bool) -> tuple[int, int, bytes]:
        """Return the folded sum, alone and while copying, of data placed at an odd address or not.

        The third part is the copy.
        """
        suffix = "_portable" if portable else ""
        memory = (c_uint8 * (at + len(data))).from_buffer_copy(bytes(at) + data)
        out = (c_uint8 * (at + len(data) + 1))()
        source, target = byref(memory, at), byref(out, at)
        length = c_size_t(len(data))
        alone = getattr(self._c, f"checksum_sum{suffix}")(source, length)
        copying = getattr(self._c, f"checksum_copy{suffix}")(target, source, length)
        assert out[at + len(data)] == 0
        return fold(alone), fold(copying), bytes(out)[at : at + len(data)]


def fold(total: int) -> int:
    """Return checksum_fold of a sum, read in network order."""
    folded = total % 0xFFFF or (0xFFFF if total else 0)
    return int.from_bytes(c_uint16(folded), "big")
