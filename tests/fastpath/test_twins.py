"""The native structures against their Python references, move for move."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubespan.model.address import Arrival, Endpoint, Prefix, Source
from kubespan.model.constants import REJECT_AFTER_MESSAGES
from kubespan.model.drop import DropReason
from kubespan.wireguard.allowedips import AllowedIPs
from kubespan.wireguard.keypair import PureKeypair
from kubespan.wireguard.replay import ReplayWindow
from kubespan.wireguard.slot import PureSlot
from tests.wireguard.test_replay import SEQUENCES, VECTORS, counters_near_edges

relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

KEYS = {"send_key": bytes(32), "receive_key": bytes(32), "local_index": 7, "remote_index": 9}


# ---- the replay window


def test_replay_vectors(keypair: Callable[..., Any]) -> None:
    window = keypair()
    assert [(counter, window.accept(counter)) for counter, _ in VECTORS] == list(VECTORS)


@pytest.mark.parametrize("sequence", SEQUENCES.values(), ids=SEQUENCES)
def test_whole_replay_windows(keypair: Callable[..., Any], sequence: Any) -> None:
    window = keypair()
    counters, *rest = sequence
    assert all(window.accept(counter) for counter in counters)
    assert [(counter, window.accept(counter)) for counter, _ in rest] == rest


@relaxed
@given(counters=st.lists(counters_near_edges, max_size=60))
def test_replay_twins_agree(keypair: Callable[..., Any], counters: list[int]) -> None:
    twin, native = ReplayWindow(), keypair()
    assert [native.accept(n) for n in counters] == [twin.accept(n) for n in counters]


# ---- sealing and opening


def pair(path: Any, send: bytes = bytes(32)) -> tuple[Any, PureKeypair]:
    values: dict[str, Any] = {"is_initiator": False, "created_at": 1.0}
    native = path.create_keypair(**KEYS | {"send_key": send} | values)
    pure = PureKeypair(**KEYS | {"send_key": send} | values)  # type: ignore[arg-type]
    return native, pure


@relaxed
@given(packets=st.lists(st.binary(max_size=200), max_size=5), start=st.integers(0, 2**64 - 8300))
def test_keypairs_seal_the_same_bytes(path: Any, packets: list[bytes], start: int) -> None:
    native, pure = pair(path)
    native.send_counter = start
    pure.send_counter = start
    assert [native.seal(packet) for packet in packets] == [pure.seal(packet) for packet in packets]
    assert native.send_counter == pure.send_counter == start + len(packets)


@relaxed
@given(
    packets=st.lists(st.binary(max_size=50), min_size=1, max_size=5),
    order=st.lists(st.integers(0, 9), max_size=12),
    noise=st.binary(max_size=60),
)
def test_keypairs_open_and_refuse_alike(
    path: Any, packets: list[bytes], order: list[int], noise: bytes
) -> None:
    native, pure = pair(path)
    sealed = [native.seal(packet) for packet in packets]
    arriving = [sealed[i % len(sealed)] for i in order] + [noise, sealed[0][:-1] + b"\x00"]
    assert [native.open(one) for one in arriving] == [pure.open(one) for one in arriving]


def test_a_refused_datagram_does_not_move_the_window(path: Any) -> None:
    native, _ = pair(path)
    sealed = native.seal(bytes(16))
    assert native.open(sealed[:-1] + bytes([sealed[-1] ^ 1])) == DropReason.BAD_TAG
    assert native.open(sealed) == bytes(16)
    assert native.open(sealed) == DropReason.REPLAYED


def test_the_last_counter_is_never_passed(path: Any) -> None:
    native, _ = pair(path)
    native.send_counter = REJECT_AFTER_MESSAGES - 1
    assert native.seal(b"")[8:16] == (REJECT_AFTER_MESSAGES - 1).to_bytes(8, "little")
    for _ in range(3):
        with pytest.raises(OverflowError):
            native.seal(b"")
    assert native.send_counter == REJECT_AFTER_MESSAGES


# ---- routes

versions = st.sampled_from((4, 6))


@st.composite
def prefixes(draw: st.DrawFn) -> Prefix:
    version = draw(versions)
    bits = 32 if version == 4 else 128
    length = draw(st.integers(0, bits))
    # Few different leading bits, so that prefixes nest and collide.
    value = draw(st.integers(0, 15)) << (bits - 4) | draw(st.integers(0, 2**bits - 1))
    mask = (2**bits - 1) ^ (2 ** (bits - length) - 1)
    return Prefix(version, value & mask, length)


@relaxed
@given(
    entries=st.lists(st.tuples(prefixes(), st.integers(0, 5)), max_size=40),
    probes=st.lists(st.integers(0, 2**128 - 1), max_size=20),
)
def test_routes_answer_as_the_tables_do(
    path: Any, entries: list[tuple[Prefix, int]], probes: list[int]
) -> None:
    tables: AllowedIPs[int] = AllowedIPs()
    for prefix, owner in entries:
        tables.insert(prefix, owner)
    path.table.publish_routes([(p.packed(), p.length, owner) for p, owner in tables.entries()])
    near = [prefix.value ^ flip for prefix, _ in entries for flip in (0, 1)]
    for version, bits in ((4, 32), (6, 128)):
        for probe in probes + near:
            value = probe % 2**bits
            found = tables.lookup(version, value)
            expected = -1 if found is None else found
            assert path.table.lookup(value.to_bytes(bits // 8, "big")) == expected


# ---- slots

moves = st.one_of(
    st.tuples(st.just("note_sent"), st.integers(0, 2000), st.booleans()),
    st.tuples(st.just("note_received"), st.integers(0, 2000), st.booleans()),
    st.tuples(st.just("forget_data_sent")),
    st.tuples(st.just("forget_data_received")),
)
TIMES = (
    "last_sent_at",
    "last_received_at",
    "first_data_received_at",
    "last_data_received_at",
    "first_data_sent_at",
    "tx_bytes",
    "rx_bytes",
)


@relaxed
@given(steps=st.lists(moves, max_size=30))
def test_slots_remember_alike(path: Any, steps: list[tuple[Any, ...]]) -> None:
    native, pure = path.create_slot(), PureSlot()
    for number, (name, *arguments) in enumerate(steps):
        for slot in (native, pure):
            if arguments:
                size, data = arguments
                getattr(slot, name)(1000.5 + number, size, data=data)
            else:
                getattr(slot, name)()
    for name in TIMES:
        assert getattr(native, name) == pytest.approx(getattr(pure, name), abs=1e-6)
    native.retire()


ARRIVALS = [
    Arrival(Endpoint(ip_address("192.0.2.1"), 51820), Source(ip_address("192.0.2.2"), 3)),
    Arrival(Endpoint(ip_address("192.0.2.1"), 51820), None),
    Arrival(Endpoint(ip_address("2001:db8::1"), 1), Source(ip_address("2001:db8::2"), 4)),
    Arrival(Endpoint(ip_address("fe80::1"), 65535, 7), None),
]


@pytest.mark.parametrize("slot_of", [lambda path: path.create_slot(), lambda _: PureSlot()])
def test_slots_roam_alike(path: Any, slot_of: Callable[[Any], Any]) -> None:
    slot = slot_of(path)
    assert (slot.endpoint, slot.source) == (None, None)
    for arrival in ARRIVALS:
        slot.roam(arrival)
        assert (slot.endpoint, slot.source) == (arrival.endpoint, arrival.source)
    slot.roam(ARRIVALS[0])
    slot.endpoint = ARRIVALS[2].endpoint
    assert (slot.endpoint, slot.source) == (ARRIVALS[2].endpoint, None)
    slot.source = ARRIVALS[2].source
    assert slot.source == ARRIVALS[2].source
