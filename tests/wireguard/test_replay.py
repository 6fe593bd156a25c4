"""The replay window: the published vectors, and a model that remembers everything."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.model.constants import REJECT_AFTER_MESSAGES as REJECT
from kubespan.model.constants import REPLAY_WINDOW as WINDOW
from kubespan.wireguard.replay import ReplayWindow

LIMIT = WINDOW + 1

# The sequence of the kernel's counter selftest, as specified.
VECTORS = (
    *((0, True), (1, True), (1, False), (9, True), (8, True), (7, True), (7, False)),
    *((LIMIT, True), (LIMIT - 1, True), (LIMIT - 1, False), (LIMIT - 2, True)),
    *((2, True), (2, False), (LIMIT + 16, True), (3, False), (LIMIT + 16, False)),
    *((4 * LIMIT, True), (4 * LIMIT - (LIMIT - 1), True), (10, False)),
    *((4 * LIMIT - LIMIT, False), (4 * LIMIT - (LIMIT + 1), False)),
    *((4 * LIMIT - (LIMIT - 2), True), (4 * LIMIT + 1 - LIMIT, False), (0, False)),
    *((REJECT, False), (REJECT - 1, True), (REJECT, False), (REJECT - 1, False)),
    *((REJECT - 2, True), (REJECT + 1, False), (REJECT + 2, False), (REJECT - 2, False)),
    *((REJECT - 3, True), (0, False)),
)

ALL = "all"
SEQUENCES = {
    "ascending, then the last that fits": (range(1, WINDOW + 1), (0, True), (0, False)),
    "ascending one further": (range(2, WINDOW + 2), (1, True), (0, False)),
    "descending to 0": (range(WINDOW, -1, -1),),
    "descending to 1": (range(WINDOW + 1, 0, -1), (0, False)),
    "descending, then one ahead": (range(WINDOW, 0, -1), (LIMIT, True), (0, False)),
    "descending, then 0 and one ahead": (range(WINDOW, 0, -1), (0, True), (LIMIT, True)),
}


def test_vectors() -> None:
    window = ReplayWindow()
    assert [(counter, window.accept(counter)) for counter, _ in VECTORS] == list(VECTORS)


@pytest.mark.parametrize("sequence", SEQUENCES.values(), ids=SEQUENCES)
def test_whole_windows(sequence: tuple[Any, ...]) -> None:
    window = ReplayWindow()
    counters, *rest = sequence
    assert all(window.accept(counter) for counter in counters)
    assert [(counter, window.accept(counter)) for counter, _ in rest] == rest


counters_near_edges = st.one_of(
    st.integers(0, 40),
    st.integers(WINDOW - 20, WINDOW + 20),
    st.integers(3 * WINDOW, 3 * WINDOW + 40),
    st.integers(2**32 - 20, 2**32 + 20),
    st.integers(REJECT - 20, REJECT + 20),
)


@given(st.lists(counters_near_edges, max_size=60))
def test_agrees_with_a_model_that_remembers_everything(counters: list[int]) -> None:
    window, seen = ReplayWindow(), set[int]()
    for counter in counters:
        expected = (
            counter < REJECT and counter not in seen and counter >= max(seen, default=0) - WINDOW
        )
        assert window.accept(counter) is expected
        if expected:
            seen.add(counter)
