"""What peers share: chance that is used as it should be, and a key log that is told everything."""

from __future__ import annotations

from random import Random

import pytest

from kubespan.model.keys import PresharedKey, PrivateKey, PublicKey
from kubespan.noise.handshake import LocalStatic
from kubespan.wireguard.purepath import PurePath
from kubespan.wireguard.surroundings import Surroundings

REMOTE, SECRET = PublicKey(bytes(32)), PresharedKey(bytes(range(32)))


@pytest.mark.parametrize(
    ("drawn", "jitter"), [(b"\0\0\0\0", 0.0), (b"\0\0\0\x80", 0.1665), (b"\xff" * 4, 0.333)]
)
def test_jitter_spans_a_third_of_a_second(drawn: bytes, jitter: float) -> None:
    surroundings: Surroundings[str] = Surroundings(PurePath(), lambda _: drawn)
    assert surroundings.jitter() == pytest.approx(jitter)


def test_indices_avoid_what_the_data_path_still_knows() -> None:
    class BusyPath(PurePath):
        def is_index_free(self, local_index: int) -> bool:
            return local_index > 2**31

    surroundings: Surroundings[str] = Surroundings(BusyPath(), Random(0).randbytes)
    indices = [surroundings.allocate_index("peer", None) for _ in range(20)]
    assert min(indices) > 2**31
    assert len(set(indices)) == 20


def test_ephemerals_are_new_each_time_and_told_to_the_key_log() -> None:
    told: list[tuple[PrivateKey, PublicKey, PrivateKey, PresharedKey]] = []
    local = PrivateKey(bytes(32))
    surroundings: Surroundings[str] = Surroundings(
        PurePath(), Random(0).randbytes, key_log=lambda *secrets: told.append(secrets)
    )
    first = surroundings.ephemeral(REMOTE, SECRET)
    assert told == []
    surroundings.local = LocalStatic(local)
    second = surroundings.ephemeral(REMOTE, SECRET)
    assert told == [(local, REMOTE, second, SECRET)]
    assert first != second
