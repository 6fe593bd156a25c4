"""A refusal has a name, and tells nothing of what was refused."""

from __future__ import annotations

from kubespan.discovery.hostile import BlobReason, BlobRefused
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
