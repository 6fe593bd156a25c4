"""Every reason has a meaning for people, and what was dropped most comes first."""

from __future__ import annotations

from kubespan.cli.drop import MEANINGS, drops
from kubespan.model.drop import DropReason


def test_every_reason_has_a_meaning() -> None:
    assert list(MEANINGS) == [reason.name.lower() for reason in DropReason]


def test_what_was_dropped_most_comes_first() -> None:
    counters = {"drop_no_key": 2, "drop_bad_tag": 7, "drop_bad_aead": 2, "drop_malformed": 0}
    counted: dict[str, int | str] = {"implementation": "native", "udp_sends": 9, **counters}
    assert drops(counted) == [(7, "bad_tag"), (2, "bad_aead"), (2, "no_key")]
