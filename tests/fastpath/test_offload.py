"""Splitting and coalescing of TUN frames against their naive twin, and against each other."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.fastpath import naive_offload as naive
from tests.fastpath import offload_library as native
from tests.fastpath.inner_packet import Inner, destination_options, large_frame, noise, stream
from tests.fastpath.naive_offload import (
    ACK,
    CWR,
    FIN,
    GSO_ECN,
    GSO_NONE,
    GSO_UDP,
    JOIN_TCP,
    JOIN_UDP,
    NEEDS_CSUM,
    PSH,
    TCP,
    UDP,
    VnetHeader,
    put16,
    u16,
)
from tests.fastpath.offload_library import FrameError, OffloadLibrary

BOTH = JOIN_TCP | JOIN_UDP
TIMESTAMPS = bytes([1, 1, 8, 10]) + bytes(8)
KINDS = [(4, TCP), (6, TCP), (4, UDP), (6, UDP)]
FUZZ_ROUNDS = "20000"
SOURCE_ROUTE = bytes([131, 7, 4, 192, 0, 2, 9, 0])

every_kind = pytest.mark.parametrize(("version", "protocol"), KINDS, ids=["t4", "t6", "u4", "u6"])


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> OffloadLibrary:
    return OffloadLibrary(tmp_path_factory.mktemp("offload"))


def frame_of(packet: bytes, **fields: int) -> bytes:
    return VnetHeader(**fields).build() + packet


def changed(packet: bytes, at: int, value: int) -> bytes:
    """The packet with one byte replaced, and nothing corrected."""
    return packet[:at] + bytes([value]) + packet[at + 1 :]


# --------------------------------------------------------------------------------------- checksum


@given(st.binary(max_size=700), st.integers(0, 33), st.booleans())
def test_sums_match_the_arithmetic(
    library: OffloadLibrary, data: bytes, at: int, portable: bool
) -> None:
    alone, copying, copy = library.checksum(data, at, portable=portable)
    assert (alone, copying, copy) == (naive.ones_sum(data), naive.ones_sum(data), data)


@pytest.mark.parametrize("portable", [False, True], ids=["chosen", "portable"])
def test_sums_do_not_overflow(library: OffloadLibrary, portable: bool) -> None:
    for size in (*range(260), 65535, 65536, 1 << 20):
        data = b"\xff" * size
        assert library.checksum(data, 1, portable=portable)[:2] == (naive.ones_sum(data),) * 2


# ------------------------------------------------------------------------------------------ split


@every_kind
@pytest.mark.parametrize("count", [2, 44])
def test_split_gives_the_packets_a_sender_would_have_sent(
    library: OffloadLibrary, version: int, protocol: int, count: int
) -> None:
    first = Inner(version=version, protocol=protocol, sequence=2**32 - 2000, identification=65530)
    packets = stream(first, count, 1360, 17)
    payload = b"".join(packet[first.headers :] for packet in packets)
    flags = ACK | PSH
    large = large_frame(replace(first, payload=payload, flags=flags), 1360)
    assert library.split(large) == packets
    assert naive.split(large) == packets


def test_fin_and_push_are_on_the_last_and_cwr_on_the_first(library: OffloadLibrary) -> None:
    large = large_frame(Inner(payload=bytes(300), flags=ACK | PSH | FIN | CWR), 100)
    large = changed(large, 1, large[1] | GSO_ECN)
    assert [packet[33] for packet in library.split(large)] == [ACK | CWR, ACK, ACK | PSH | FIN]


def test_a_plain_packet_passes_untouched(library: OffloadLibrary) -> None:
    packet = Inner().build()
    assert library.split(frame_of(packet)) == [packet]


def test_what_lies_behind_a_plain_packet_is_cut_off(library: OffloadLibrary) -> None:
    packet = Inner(version=6).build()
    assert library.split(frame_of(packet + b"trailing")) == [packet]


@every_kind
def test_a_checksum_left_open_is_completed(
    library: OffloadLibrary, version: int, protocol: int
) -> None:
    inner = Inner(version=version, protocol=protocol, payload=b"odd")
    large = large_frame(inner, 0)
    frame = large[:1] + bytes([GSO_NONE]) + large[2:]
    assert library.split(frame) == [inner.build()]


def test_a_checksum_of_zero_is_written_as_its_other_form(library: OffloadLibrary) -> None:
    inner = Inner(protocol=UDP, payload=bytes(2))
    spare = u16(inner.build(), 26)
    inner = replace(inner, payload=spare.to_bytes(2, "big"))
    large = large_frame(inner, 0)
    frame = large[:1] + bytes([GSO_NONE]) + large[2:]
    assert library.split(frame)[0][26:28] == b"\xff\xff"
    large = large_frame(replace(inner, payload=inner.payload * 2), 2)
    assert [packet[26:28] for packet in library.split(large)] == [b"\xff\xff"] * 2


def test_a_gso_frame_of_one_segment_is_finished_in_place(library: OffloadLibrary) -> None:
    inner = Inner(payload=b"small", flags=ACK | PSH | CWR)
    assert library.split(large_frame(inner, 1360)) == [inner.build()]
    assert library.split(large_frame(replace(inner, payload=b""), 1360)) == [
        replace(inner, payload=b"").build()
    ]


def test_the_real_length_counts_not_the_header(library: OffloadLibrary) -> None:
    large = large_frame(Inner(payload=bytes(4000)), 1000)
    lying = bytearray(large)
    put16(lying, 12, 77)
    assert library.split(bytes(lying)) == library.split(large)


def test_extension_headers_are_walked_and_repeated(library: OffloadLibrary) -> None:
    extensions = destination_options(TCP, 24)
    inner = Inner(version=6, payload=noise(3000, 1), extensions=extensions)
    packets = library.split(large_frame(inner, 1400))
    assert packets == naive.split(large_frame(inner, 1400))
    assert [packet[40:64] for packet in packets] == [extensions] * 3


def test_source_routing_keeps_the_sum_of_the_final_destination(library: OffloadLibrary) -> None:
    inner = Inner(payload=noise(300, 1), ip_options=SOURCE_ROUTE)
    routed = bytearray(large_frame(inner, 100))
    put16(routed, 10 + 28 + 16, u16(routed, 10 + 28 + 16) + 5)
    direct, rerouted = library.split(large_frame(inner, 100)), library.split(bytes(routed))
    assert rerouted == naive.split(bytes(routed))
    assert [u16(a, 44) for a in direct] != [u16(a, 44) for a in rerouted]


@every_kind
def test_the_largest_packet_is_cut(library: OffloadLibrary, version: int, protocol: int) -> None:
    inner = Inner(version=version, protocol=protocol)
    most = 65535 if version == 4 else 65575
    large = large_frame(replace(inner, payload=noise(most - inner.headers, 3)), 1360)
    assert library.split(large) == naive.split(large)
    assert refusal(library, large + b"\0", 65536) == native.BAD_IP


def refusal(library: OffloadLibrary, frame: bytes, most: int = 64) -> int:
    with pytest.raises(FrameError) as error:
        library.split(frame, most)
    with pytest.raises(naive.RefusedError):
        naive.split(frame, most)
    return int(error.value.args[0])


TCP4 = large_frame(Inner(payload=bytes(300)), 100)
TCP6 = large_frame(Inner(version=6, payload=bytes(300)), 100)
UDP4 = large_frame(Inner(protocol=UDP, payload=bytes(300)), 100)
PLAIN4 = frame_of(Inner().build())
PLAIN6 = frame_of(Inner(version=6).build())


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        pytest.param(b"", native.TRUNCATED, id="empty"),
        pytest.param(PLAIN4[:10], native.TRUNCATED, id="only a vnet header"),
        pytest.param(PLAIN4[:29], native.TRUNCATED, id="short IPv4 header"),
        pytest.param(PLAIN6[:49], native.TRUNCATED, id="short IPv6 header"),
        pytest.param(PLAIN4[:-1], native.TRUNCATED, id="IPv4 length beyond the end"),
        pytest.param(PLAIN6[:-1], native.TRUNCATED, id="IPv6 length beyond the end"),
        pytest.param(changed(PLAIN4, 10, 0x55), native.BAD_IP, id="version 5"),
        pytest.param(changed(PLAIN4, 10, 0x44), native.BAD_IP, id="IPv4 header of 16 bytes"),
        pytest.param(changed(PLAIN4[:31], 10, 0x4F), native.TRUNCATED, id="options cut off"),
        pytest.param(changed(PLAIN4, 13, 19), native.BAD_IP, id="IPv4 length of 19"),
        pytest.param(changed(TCP4, 16, 0x20), native.BAD_IP, id="fragment"),
        pytest.param(changed(TCP4, 19, 17), native.BAD_TRANSPORT, id="UDP as TCP"),
        pytest.param(changed(TCP6, 16, 17), native.BAD_TRANSPORT, id="UDP as TCP over IPv6"),
        pytest.param(changed(TCP4, 42, 0x40), native.BAD_TRANSPORT, id="TCP header of 16 bytes"),
        pytest.param(changed(TCP4[:49], 42, 0xF0), native.TRUNCATED, id="TCP header cut off"),
        pytest.param(changed(TCP4[:69], 42, 0xF0), native.TRUNCATED, id="TCP options cut off"),
        pytest.param(changed(TCP6, 16, 60), native.BAD_TRANSPORT, id="extensions to nowhere"),
        pytest.param(changed(TCP6[:54], 16, 60), native.TRUNCATED, id="extension cut off"),
        pytest.param(UDP4[:37], native.TRUNCATED, id="UDP header cut off"),
        pytest.param(TCP4[:4] + b"\0\0" + TCP4[6:], native.BAD_HEADER, id="gso_size of 0"),
        pytest.param(changed(TCP4, 6, 21), native.BAD_HEADER, id="csum_start elsewhere"),
        pytest.param(changed(TCP4, 8, 6), native.BAD_HEADER, id="csum_offset of another protocol"),
        pytest.param(changed(TCP4, 1, 4), native.BAD_HEADER, id="IPv4 as IPv6"),
        pytest.param(changed(TCP6, 1, 1), native.BAD_HEADER, id="IPv6 as IPv4"),
        pytest.param(changed(UDP4, 1, GSO_UDP), native.UNSUPPORTED, id="UDP fragmentation"),
        pytest.param(changed(UDP4, 1, 99), native.UNSUPPORTED, id="unknown GSO type"),
        pytest.param(
            frame_of(PLAIN4[10:], flags=NEEDS_CSUM, csum_start=19, csum_offset=2),
            native.BAD_HEADER,
            id="checksum in the IPv4 header",
        ),
        pytest.param(
            frame_of(PLAIN4[10:], flags=NEEDS_CSUM, csum_start=40, csum_offset=6),
            native.BAD_HEADER,
            id="checksum behind the end",
        ),
        pytest.param(
            frame_of(PLAIN4[10:], flags=NEEDS_CSUM, csum_start=65535, csum_offset=65535),
            native.BAD_HEADER,
            id="checksum far behind the end",
        ),
        pytest.param(large_frame(Inner(payload=bytes(65)), 1), native.TOO_MANY, id="tiny MSS"),
        pytest.param(
            large_frame(
                Inner(version=6, extensions=destination_options(TCP, 2048), payload=bytes(64)), 1
            ),
            native.TOO_MANY,
            id="long headers repeated",
        ),
    ],
)
def test_a_frame_that_lies_is_refused(library: OffloadLibrary, frame: bytes, error: int) -> None:
    assert refusal(library, frame) == error


inners = st.builds(
    Inner,
    version=st.sampled_from([4, 6]),
    protocol=st.sampled_from([TCP, UDP]),
    payload=st.builds(noise, st.integers(0, 9000) | st.integers(0, 64000), st.integers(0, 9)),
    sequence=st.integers(0, 2**32 - 1),
    flags=st.integers(0, 255),
    urgent=st.integers(0, 9),
    options=st.integers(0, 10).map(lambda words: b"\1" * 4 * words),
    identification=st.integers(0, 65535),
    fragment=st.sampled_from([0, 0x4000, 0x8000]),
    tos=st.integers(0, 255),
)


@given(inners, st.integers(40, 9000), st.booleans(), st.integers(0, 65535))
def test_split_matches_the_twin(
    library: OffloadLibrary, inner: Inner, size: int, partial: bool, hdr_len: int
) -> None:
    frame = large_frame(inner, size, partial=partial, hdr_len=hdr_len)
    assert library.split(frame) == naive.split(frame)


@given(
    st.builds(large_frame, inners, st.integers(1, 2000), partial=st.booleans()),
    st.lists(st.tuples(st.integers(0, 110), st.integers(0, 255)), max_size=4),
    st.integers(0, 140) | st.none(),
    st.sampled_from([1, 64, 65536]),
)
def test_damaged_frames_match_the_twin(
    library: OffloadLibrary,
    frame: bytes,
    damages: list[tuple[int, int]],
    length: int | None,
    most: int,
) -> None:
    for at, value in damages:
        frame = changed(frame, at, value) if at < len(frame) else frame
    frame = frame[:length]
    assert outcome(library, frame, most) == naive_outcome(frame, most)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_match_the_twin(library: OffloadLibrary, frame: bytes) -> None:
    assert outcome(library, frame, 64) == naive_outcome(frame, 64)


def outcome(library: OffloadLibrary, frame: bytes, most: int) -> list[bytes] | None:
    try:
        return library.split(frame, most)
    except FrameError:
        return None


def naive_outcome(frame: bytes, most: int) -> list[bytes] | None:
    try:
        return naive.split(frame, most)
    except naive.RefusedError:
        return None


# --------------------------------------------------------------------------------------- coalesce


def counts(library: OffloadLibrary, packets: list[bytes], features: int = BOTH) -> list[int]:
    """How many packets each write holds, after the writes were found to be the twin's."""
    writes = library.coalesce(packets, features)
    assert [write.frame for write in writes] == [
        naive.joined(group) for group in naive.coalesce(packets, features)
    ]
    return [write.packets for write in writes]


@every_kind
def test_a_stream_becomes_one_write_and_is_cut_into_itself_again(
    library: OffloadLibrary, version: int, protocol: int
) -> None:
    first = Inner(version=version, protocol=protocol, options=TIMESTAMPS, identification=65534)
    packets = stream(first, 40, 1360, 5)
    (write,) = library.coalesce(packets, BOTH)
    assert write.packets == 40
    assert library.split(write.frame) == packets


@every_kind
def test_a_joined_write_can_be_taken_apart(
    library: OffloadLibrary, version: int, protocol: int
) -> None:
    packets = stream(Inner(version=version, protocol=protocol), 5, 100, 7)
    packets.append(Inner(flow=2).build())
    writes = library.coalesce(packets, BOTH, undo=True)
    singles = [frame for write in writes for frame in write.singles]
    assert singles == [VnetHeader().build() + packet for packet in packets]


@every_kind
def test_a_feature_that_is_off_joins_nothing(
    library: OffloadLibrary, version: int, protocol: int
) -> None:
    packets = stream(Inner(version=version, protocol=protocol), 3, 100)
    off = JOIN_UDP if protocol == TCP else JOIN_TCP
    assert counts(library, packets, off) == [1, 1, 1]
    assert counts(library, packets, 0) == [1, 1, 1]
    assert counts(library, packets, BOTH ^ off) == [3]


def test_a_lone_packet_is_untouched(library: OffloadLibrary) -> None:
    packet = Inner().build()
    (write,) = library.coalesce([packet], BOTH)
    assert write.frame == bytes(10) + packet


BASE = Inner(payload=bytes(100))
NEXT = replace(BASE, sequence=1100, identification=2)
ODD = bytes([1, 1, 1, 1])


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(replace(NEXT, sequence=1101), id="gap"),
        pytest.param(replace(NEXT, sequence=1000), id="repeated"),
        pytest.param(replace(NEXT, acknowledgement=8), id="acknowledgement"),
        pytest.param(replace(NEXT, window=501), id="window"),
        pytest.param(replace(NEXT, urgent=1), id="urgent pointer"),
        pytest.param(replace(NEXT, options=ODD), id="more options"),
        pytest.param(replace(NEXT, tos=3), id="congestion experienced"),
        pytest.param(replace(NEXT, ttl=63), id="TTL"),
        pytest.param(replace(NEXT, fragment=0), id="DF"),
        pytest.param(replace(NEXT, fragment=0x8000), id="reserved bit"),
        pytest.param(replace(NEXT, identification=3), id="identification leaps"),
        pytest.param(replace(NEXT, identification=0), id="identification falls"),
        pytest.param(replace(NEXT, ip_options=ODD), id="IP options"),
        pytest.param(replace(NEXT, payload=bytes(101)), id="larger payload"),
        pytest.param(replace(NEXT, payload=b""), id="no payload"),
        pytest.param(replace(NEXT, flags=ACK | FIN), id="FIN"),
        pytest.param(replace(NEXT, flags=ACK | CWR), id="CWR"),
        pytest.param(replace(NEXT, flags=0), id="no ACK"),
        pytest.param(replace(NEXT, flow=2), id="another flow"),
        pytest.param(replace(NEXT, protocol=UDP), id="another protocol"),
    ],
)
def test_packets_that_differ_do_not_join(library: OffloadLibrary, second: Inner) -> None:
    assert counts(library, [BASE.build(), NEXT.build()]) == [2]
    assert counts(library, [BASE.build(), second.build()]) == [1, 1]


@pytest.mark.parametrize(
    "second",
    [
        pytest.param({"tos": 1}, id="traffic class"),
        pytest.param({"flow_label": 1}, id="flow label"),
        pytest.param({"ttl": 1}, id="hop limit"),
        pytest.param({"extensions": destination_options(TCP)}, id="extension header"),
    ],
)
def test_ipv6_packets_that_differ_do_not_join(
    library: OffloadLibrary, second: dict[str, Any]
) -> None:
    first, following = replace(BASE, version=6), replace(NEXT, version=6)
    assert counts(library, [first.build(), following.build()]) == [2]
    assert counts(library, [first.build(), replace(following, **second).build()]) == [1, 1]


@pytest.mark.parametrize("at", [11, 37, 60], ids=["IP checksum", "TCP checksum", "payload"])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_damaged_packet_travels_alone_and_unchanged(
    library: OffloadLibrary, at: int, which: int
) -> None:
    packets = stream(BASE, 4, 100)
    packets[which] = changed(packets[which], at, packets[which][at] ^ 1)
    frames = [write.frame for write in library.coalesce(packets, BOTH)]
    assert frames[which if which < 2 else 1] == bytes(10) + packets[which]
    assert counts(library, packets) == {0: [1, 3], 1: [1, 1, 2], 2: [2, 1, 1]}[which]


def test_udp_without_checksum_or_with_a_wrong_length_travels_alone(library: OffloadLibrary) -> None:
    for at, value in ((26, 0), (24, 0xFFFF)):
        packets = stream(Inner(protocol=UDP), 3, 100)
        field = bytearray(packets[1])
        put16(field, at, value)
        packets[1] = bytes(field)
        assert counts(library, packets) == [1, 1, 1]


def test_a_checksum_that_no_cut_would_write_is_kept(library: OffloadLibrary) -> None:
    spare = u16(replace(NEXT, payload=bytes(2)).build(), 36)
    second = replace(NEXT, payload=spare.to_bytes(2, "big")).build()
    assert second[36:38] == bytes(2)
    assert counts(library, [BASE.build(), second]) == [2]
    assert counts(library, [BASE.build(), second[:36] + b"\xff\xff" + second[38:]]) == [1, 1]


def test_equal_identifications_join_only_where_they_mean_nothing(library: OffloadLibrary) -> None:
    atomic = [replace(BASE, sequence=1000 + 100 * i, identification=0) for i in range(4)]
    assert counts(library, [inner.build() for inner in atomic]) == [4]
    fragile = [replace(inner, fragment=0) for inner in atomic]
    assert counts(library, [inner.build() for inner in fragile]) == [1, 1, 1, 1]
    mixed = [*atomic[:2], replace(atomic[2], identification=1)]
    assert counts(library, [inner.build() for inner in mixed]) == [2, 1]


def test_push_and_a_smaller_payload_end_a_group(library: OffloadLibrary) -> None:
    packets = stream(BASE, 6, 100)
    pushed = replace(BASE, sequence=1200, identification=3, payload=noise(100, 2), flags=ACK | PSH)
    assert counts(library, [*packets[:2], pushed.build(), *packets[3:]]) == [3, 3]
    short = [replace(BASE, payload=bytes(99)), replace(BASE, sequence=1099, identification=2)]
    assert counts(library, [inner.build() for inner in [*short]]) == [1, 1]
    assert counts(library, [replace(BASE, flags=ACK | PSH).build(), NEXT.build()]) == [1, 1]


@every_kind
def test_a_group_stays_within_one_ip_packet(
    library: OffloadLibrary, version: int, protocol: int
) -> None:
    assert counts(library, stream(Inner(version=version, protocol=protocol), 50, 1400)) == [46, 4]


def test_a_group_has_a_limit_of_packets(library: OffloadLibrary) -> None:
    assert counts(library, stream(Inner(), 600, 1)) == [512, 88]
    assert counts(library, stream(Inner(protocol=UDP), 100, 1)) == [64, 36]


def test_flows_are_joined_apart_and_written_by_their_first_packet(library: OffloadLibrary) -> None:
    flows = [stream(Inner(flow=flow), 3, 100) for flow in range(3)]
    packets = [flow[i] for i in range(3) for flow in flows]
    assert counts(library, packets) == [3, 3, 3]


def test_a_fragment_keeps_its_place_among_all_flows_of_the_pair(library: OffloadLibrary) -> None:
    first, second = stream(Inner(), 4, 100), stream(Inner(flow=2, protocol=UDP), 4, 100)
    fragment = Inner(fragment=0x2000, protocol=UDP).build()
    packets = [*first[:2], *second[:2], fragment, *first[2:], *second[2:]]
    assert counts(library, packets) == [2, 2, 1, 2, 2]
    other = changed(fragment, 9, 1)
    packets = [*first[:2], *second[:2], other, *first[2:], *second[2:]]
    assert counts(library, packets) == [4, 4, 1]


def test_a_full_batch_says_so(library: OffloadLibrary) -> None:
    lone = [Inner(flow=flow, payload=b"").build() for flow in range(300)]
    assert library.count_taken(lone, BOTH) == 256
    many = [packet for flow in range(20) for packet in stream(Inner(flow=flow), 300, 1)]
    taken = library.count_taken(many, BOTH)
    assert taken == 4096 + 14
    assert sum(write.packets for write in library.coalesce(many[:taken], BOTH)) == taken


def test_256_flows_that_share_a_batch_are_all_found_again(library: OffloadLibrary) -> None:
    flows = [stream(Inner(flow=flow, version=6), 4, 20) for flow in range(256)]
    packets = [flow[i] for i in range(4) for flow in flows]
    assert [write.packets for write in library.coalesce(packets, BOTH)] == [4] * 256


# A conversation: each move sends one packet of one flow, usually the next, sometimes an odd one.

ODDITIES = [
    {"flags": ACK | PSH}, {"flags": ACK | FIN}, {"flags": 2}, {"tos": 3}, {"ttl": 9},
    {"window": 1}, {"acknowledgement": 9}, {"options": TIMESTAMPS}, {"fragment": 0},
    {"fragment": 0x2000}, {"fragment": 7}, {"ip_options": ODD}, {"payload": b""},
    {"extensions": destination_options(TCP)}, {"extensions": destination_options(UDP)},
]  # fmt: skip
move = st.tuples(
    st.sampled_from(KINDS),
    st.integers(1, 2),
    st.sampled_from([100, 100, 100, 100, 99, 101, 1]),
    st.none() | st.none() | st.none() | st.sampled_from(ODDITIES),
    st.sampled_from(["", "", "", "", "", "damage", "cut", "id", "sequence", "fixed"]),
    st.integers(0, 99),
)


def conversation(
    moves: list[tuple[tuple[int, int], int, int, dict[str, Any] | None, str, int]],
) -> list[bytes]:
    """The packets of the moves, each flow counting its sequence and identification."""
    states: dict[tuple[tuple[int, int], int], tuple[int, int]] = {}
    packets = []
    for kind, flow, size, oddity, trouble, number in moves:
        sequence, identification = states.get((kind, flow), (2**32 - 150, 65534))
        sequence += number if trouble == "sequence" else 0
        identification += {"id": number, "fixed": -1}.get(trouble, 0)
        inner = Inner(
            *kind,
            payload=noise(size, number),
            flow=flow,
            sequence=sequence,
            identification=identification,
        )
        states[kind, flow] = (sequence + size, identification + 1)
        packet = replace(inner, **(oddity or {})).build()
        if trouble == "damage":
            packet = changed(packet, number % len(packet), number)
        packets.append(packet[: number if trouble == "cut" else None])
    return packets


conversations = st.lists(move, max_size=40).map(conversation)


@settings(max_examples=300)
@given(conversations, st.integers(0, 3))
def test_coalescing_matches_the_twin(
    library: OffloadLibrary, packets: list[bytes], features: int
) -> None:
    assert sum(counts(library, packets, features)) == len(packets)


@given(conversations, st.integers(0, 3))
def test_what_is_joined_is_cut_into_itself_again(
    library: OffloadLibrary, packets: list[bytes], features: int
) -> None:
    for write, group in zip(
        library.coalesce(packets, features), naive.coalesce(packets, features), strict=True
    ):
        if write.packets > 1:
            cut = library.split(write.frame)
            assert [blank_atomic(p) for p in cut] == [blank_atomic(p) for p in group]
            if identifications_count(group):
                assert cut == group


def identifications_count(group: list[bytes]) -> bool:
    """Whether cutting can give the identifications back, as it always can for IPv6."""
    return group[0][0] >> 4 == 6 or u16(group[0], 4) != u16(group[1], 4)


def blank_atomic(packet: bytes) -> bytes:
    """The packet without IPv4 identification and header checksum."""
    return packet if packet[0] >> 4 == 6 else packet[:4] + packet[6:10] + packet[12:]


@given(conversations)
def test_order_within_a_flow_is_kept(library: OffloadLibrary, packets: list[bytes]) -> None:
    assume(len(set(packets)) == len(packets))
    written = [
        frame[10:]
        for write in library.coalesce(packets, BOTH, undo=True)
        for frame in write.singles
    ]
    assert sorted(written) == sorted(packets)
    for flow in {naive.place(packet, BOTH) for packet in packets} - {None}:
        assert [p for p in written if naive.place(p, BOTH) == flow] == [
            p for p in packets if naive.place(p, BOTH) == flow
        ]


@given(st.lists(st.binary(max_size=80), max_size=20), st.integers(0, 3))
def test_arbitrary_packets_pass_unchanged_and_in_order(
    library: OffloadLibrary, packets: list[bytes], features: int
) -> None:
    assert set(counts(library, packets, features)) <= {1}


# ------------------------------------------------------------------------------------------- fuzz


def test_hostile_bytes_stay_within_their_buffers(tmp_path: Path) -> None:
    program = tmp_path / "fuzz"
    driver = Path(__file__).with_name("fuzz_offload.c")
    flags = ("-std=gnu11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    sources = [str(path) for path in (driver, *native.SOURCES)]
    command = (native.compiler(), *flags, f"-I{native.NATIVE}", "-o", str(program), *sources)
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode != 0 and "san" in built.stderr:
        pytest.skip(f"the compiler has no sanitizers: {built.stderr.strip()}")
    assert built.returncode == 0, built.stderr
    rounds = os.environ.get("KUBESPAN_FUZZ_ROUNDS", FUZZ_ROUNDS)
    done = subprocess.run((str(program), "1", rounds), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    cut, joined = (int(word) for word in done.stdout.split())
    assert cut > int(rounds) // 10
    assert joined > int(rounds) // 10
