"""A refusal has a name, and tells nothing of what was refused."""

from __future__ import annotations

from kubespan.discovery.hostile import BlobReason, BlobRefused, sifted
from kubespan.model.errors import KubespanError


def test_a_refusal_says_its_reason_and_nothing_else() -> None:
    refused = BlobRefused(BlobReason.BAD_TAG)
    assert refused.reason is BlobReason.BAD_TAG
    assert str(refused) == "bad_tag"
    assert isinstance(refused, KubespanError)


def test_reasons_are_names_of_labels() -> None:
    assert [reason.value for reason in BlobReason] == [
        name.lower() for name in BlobReason.__members__
    ]


def halved(number: int) -> int:
    if number % 2:
        raise BlobRefused(BlobReason.BAD_PORT)
    return number // 2


def test_good_entries_come_once_and_in_their_order() -> None:
    assert sifted(halved, [8, 3, 2, 8, 5], 5) == (
        (4, 1),
        (BlobReason.BAD_PORT, BlobReason.BAD_PORT),
    )
    assert sifted(halved, [], 0) == ((), ())


def test_what_is_beyond_the_most_is_not_looked_at() -> None:
    assert sifted(halved, [2, 3, 3, 3], 1) == ((1,), (BlobReason.TOO_MANY,))
