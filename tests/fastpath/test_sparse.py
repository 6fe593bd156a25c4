"""Who need not stand in line: kubespan/native/sparse.h, compiled for the test, and batches."""

from __future__ import annotations

import ctypes
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fastpath.inner_packet import Inner, destination_options, stream
from tests.fastpath.naive_offload import TCP, UDP
from tests.fastpath.offload_library import NATIVE, OffloadLibrary, compiler

STRANGER = -1
FLOWS = 1024
MEMORY = 250 * 10**6
MANY = 8
START = 5 * MEMORY
SIZE = "#include <sparse.h>\nconst size_t size_of_line = sizeof(struct sparse_line);\n"
BOTH = 3


class Sparse:
    """The functions of sparse.h, and one line."""

    def __init__(self, folder: Path) -> None:
        (folder / "size.c").write_text(SIZE)
        command = (compiler(), "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared")
        sources = [NATIVE / "sparse.c", NATIVE / "checksum.c", folder / "size.c"]
        library = folder / "sparse.so"
        subprocess.run((*command, "-fPIC", f"-I{NATIVE}", "-o", library, *sources), check=True)
        self._c = ctypes.CDLL(str(library))
        self._size = ctypes.c_size_t.in_dll(self._c, "size_of_line").value
        self.clear()

    def clear(self) -> None:
        self._line = ctypes.create_string_buffer(self._size)

    def flow(self, packet: bytes) -> int:
        memory = (ctypes.c_uint8 * len(packet)).from_buffer_copy(packet)
        return int(self._c.sparse_flow(memory, ctypes.c_size_t(len(packet))))

    def see(self, flow: int, packets: int, now: int) -> None:
        self._c.sparse_see(self._line, flow, packets, ctypes.c_uint64(now))

    def may_pass(self, flow: int, packets: int = 1) -> bool:
        return bool(self._c.sparse_may_pass(self._line, flow, packets))

    def wait(self, flow: int) -> None:
        self._c.sparse_wait(self._line, flow)

    def leave(self, flow: int) -> None:
        self._c.sparse_leave(self._line, flow)

    def is_sought(self, now: int) -> bool:
        return bool(self._c.sparse_is_sought(self._line, ctypes.c_uint64(now)))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Sparse:
    return Sparse(tmp_path_factory.mktemp("sparse"))


@pytest.fixture
def sparse(library: Sparse) -> Sparse:
    library.clear()
    return library


@pytest.fixture(scope="module")
def offload(tmp_path_factory: pytest.TempPathFactory) -> OffloadLibrary:
    return OffloadLibrary(tmp_path_factory.mktemp("offload"))


# ---- flows


def echo(version: int, payload: bytes) -> bytes:
    """An echo request; its number is part of the payload."""
    inner = Inner(version=version, protocol=UDP, payload=payload).build()
    at, protocol = (9, 1) if version == 4 else (6, 58)
    return inner[:at] + bytes([protocol]) + inner[at + 1 :]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_packets_of_a_connection_are_of_one_flow(
    sparse: Sparse, version: int, protocol: int
) -> None:
    one = Inner(version=version, protocol=protocol)
    flow = sparse.flow(one.build())
    assert 0 <= flow < FLOWS
    others = [
        replace(one, payload=b"", sequence=5, flags=0x12, window=9, ttl=1, tos=3, flow_label=77),
        replace(one, payload=bytes(1300), identification=9),
    ]
    assert {sparse.flow(other.build()) for other in others} == {flow}
    assert len({sparse.flow(replace(one, flow=port).build()) for port in range(1, 30)}) > 20


@pytest.mark.parametrize("version", [4, 6])
def test_echoes_between_two_hosts_are_one_flow_of_their_own(sparse: Sparse, version: int) -> None:
    flow = sparse.flow(echo(version, b"one"))
    assert flow == sparse.flow(echo(version, b"another")) != STRANGER
    assert flow not in {sparse.flow(Inner(version=version, protocol=p).build()) for p in (TCP, UDP)}


IP_OPTIONS = Inner(ip_options=bytes([1, 1, 1, 1]))
WHOLE4, WHOLE6 = Inner().build(), Inner(version=6).build()


def test_ip_options_do_not_hide_the_ports(sparse: Sparse) -> None:
    assert sparse.flow(IP_OPTIONS.build()) == sparse.flow(WHOLE4)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x45",
        WHOLE4[:19],
        WHOLE4[:23],
        WHOLE6[:39],
        WHOLE6[:43],
        b"\x44" + WHOLE4[1:],
        b"\x4f" + WHOLE4[1:40],
        b"\x75" + WHOLE4[1:],
        Inner(fragment=0x2000).build(),
        Inner(fragment=0x0001).build(),
        echo(4, b"")[:6] + b"\x20\x00" + echo(4, b"")[8:],
        Inner(version=6, extensions=destination_options(TCP)).build(),
        WHOLE6[:6] + bytes([44]) + WHOLE6[7:],
        WHOLE6[:6] + bytes([50]) + WHOLE6[7:],
    ],
)
def test_what_cannot_be_told_is_a_stranger(sparse: Sparse, packet: bytes) -> None:
    assert sparse.flow(packet) == STRANGER


@pytest.mark.parametrize("protocol", [4, 47, 50, 132])
def test_other_protocols_of_ipv4_are_flows_by_address(sparse: Sparse, protocol: int) -> None:
    one, other = (
        whole[:9] + bytes([protocol]) + whole[10:]
        for whole in (WHOLE4, Inner(flow=2, payload=b"other").build())
    )
    assert sparse.flow(one) == sparse.flow(other) != STRANGER
    assert sparse.flow(one) != sparse.flow(WHOLE4)


@given(st.binary(max_size=80))
def test_any_bytes_have_a_number(library: Sparse, packet: bytes) -> None:
    assert STRANGER <= library.flow(packet) < FLOWS


# ---- the line


def test_a_lone_packet_passes_others_but_none_of_its_own_flow(sparse: Sparse) -> None:
    sparse.wait(1)
    sparse.wait(1)
    assert sparse.may_pass(2)
    assert not sparse.may_pass(2, packets=2)
    assert not sparse.may_pass(1)
    sparse.leave(1)
    assert not sparse.may_pass(1)
    sparse.leave(1)
    assert sparse.may_pass(1)


def test_a_stranger_passes_nobody_and_is_passed_by_nobody(sparse: Sparse) -> None:
    assert not sparse.may_pass(STRANGER)
    sparse.wait(STRANGER)
    assert not sparse.may_pass(2)
    sparse.leave(STRANGER)
    assert sparse.may_pass(2)


def test_somebody_is_sought_while_lone_packets_come_beside_bulk(sparse: Sparse) -> None:
    sparse.see(1, 1, START)
    assert not sparse.is_sought(START)
    sparse.see(2, 40, START)
    assert not sparse.is_sought(START)
    sparse.see(1, 1, START + 5)
    assert sparse.is_sought(START + 5)
    assert sparse.is_sought(START + MEMORY)
    assert not sparse.is_sought(START + MEMORY + 5)


@pytest.mark.parametrize(
    ("flow", "after"),
    [(2, 0), (2, MEMORY - 1), (STRANGER, 0), (1, MEMORY)],
    ids=["of the bulk", "of the bulk later", "a stranger", "long after the bulk"],
)
def test_nobody_gains_by_looking(sparse: Sparse, flow: int, after: int) -> None:
    sparse.see(2, 40, START)
    sparse.see(flow, 1, START + after)
    assert not sparse.is_sought(START + after)


def test_many_single_packets_at_once_are_bulk_as_well(sparse: Sparse) -> None:
    """Otherwise a sender of datagrams without offload would be looked for as long as it sends."""
    sparse.see(2, 40, START)
    for _ in range(MANY):
        sparse.see(1, 1, START)
    assert sparse.is_sought(START + MEMORY - 1)
    sparse.see(1, 1, START + MEMORY - 1)
    assert not sparse.is_sought(START + MEMORY)
    assert sparse.may_pass(1)


def test_single_packets_now_and_then_stay_lone_however_many(sparse: Sparse) -> None:
    for number in range(3 * MANY):
        sparse.see(2, 40, START + number)
        sparse.see(1, 1, START + number)
    assert sparse.is_sought(START + number + MEMORY - 1)


def test_bulk_that_ended_is_forgotten(sparse: Sparse) -> None:
    sparse.see(2, 40, START)
    sparse.see(3, 40, START + MEMORY)
    sparse.see(2, 1, START + MEMORY)
    assert sparse.is_sought(START + MEMORY)


# ---- a batch in it


def port(frame: bytes) -> int:
    """The source port of the first packet in a write: which flow it is of."""
    return int.from_bytes(frame[30:32], "big")


def test_the_lone_one_of_a_batch_goes_first(offload: OffloadLibrary) -> None:
    packets = [*stream(Inner(flow=1), 4, 100), Inner(flow=2).build(), *stream(Inner(flow=3), 2, 9)]
    first, rest = offload.pass_others(packets, BOTH)
    assert [port(write.frame) for write in first] == [2]
    assert [(port(write.frame), write.packets) for write in rest] == [(1, 4), (3, 2)]


def test_the_end_of_a_stream_stays_behind_it(offload: OffloadLibrary) -> None:
    end = Inner(flow=1, flags=0x11, sequence=1400)
    first, rest = offload.pass_others([*stream(Inner(flow=1), 4, 100), end.build()], BOTH)
    assert first == []
    assert [write.packets for write in rest] == [4, 1]


def test_a_lone_fragment_is_passed_by_nobody(offload: OffloadLibrary) -> None:
    packets = [Inner(flow=1, fragment=0x2000).build(), Inner(flow=2).build()]
    first, rest = offload.pass_others(packets, BOTH)
    assert first == []
    assert [port(write.frame) for write in rest] == [1, 2]


RUNS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5), st.booleans()), max_size=20)


@settings(deadline=None)
@given(RUNS)
def test_no_packet_is_lost_and_none_passes_its_own_flow(
    offload: OffloadLibrary, runs: list[tuple[int, int, bool]]
) -> None:
    packets, sequence = [], dict.fromkeys(range(1, 5), 1000)
    for flow, count, is_fragment in runs:
        inner = Inner(flow=flow, sequence=sequence[flow], fragment=0x2000 if is_fragment else 0)
        packets += stream(inner, count, 10)
        sequence[flow] += 10 * count
    first, rest = offload.pass_others(packets, BOTH)
    assert all(write.packets == 1 for write in first)
    given_back = [packet for write in (*first, *rest) for packet in offload.split(write.frame)]
    for flow in sequence:
        mine = [packet for packet in packets if packet[20:22] == flow.to_bytes(2, "big")]
        assert [p for p in given_back if p[20:22] == flow.to_bytes(2, "big")] == mine
