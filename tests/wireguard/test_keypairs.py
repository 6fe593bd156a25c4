"""How one session becomes another: each rotation on every state that there can be."""

from __future__ import annotations

import pytest

from kubespan.wireguard.keypairs import Keypairs
from tests.wireguard.twins import keypair

A, B, C, NEW = (keypair(index) for index in (1, 2, 3, 4))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Keypairs(), Keypairs(None, NEW, None)),
        (Keypairs(None, A, None), Keypairs(A, NEW, None)),
        (Keypairs(A, B, None), Keypairs(B, NEW, None)),
        (Keypairs(A, B, C), Keypairs(C, NEW, None)),
        (Keypairs(None, None, C), Keypairs(C, NEW, None)),
        (Keypairs(A, None, None), Keypairs(A, NEW, None)),
    ],
)
def test_initiated(before: Keypairs, after: Keypairs) -> None:
    assert before.initiated(NEW) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Keypairs(), Keypairs(None, None, NEW)),
        (Keypairs(None, A, None), Keypairs(None, A, NEW)),
        (Keypairs(A, B, None), Keypairs(None, B, NEW)),
        (Keypairs(A, B, C), Keypairs(None, B, NEW)),
        (Keypairs(A, None, None), Keypairs(A, None, NEW)),
    ],
)
def test_answered(before: Keypairs, after: Keypairs) -> None:
    assert before.answered(NEW) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Keypairs(None, None, C), Keypairs(None, C, None)),
        (Keypairs(None, B, C), Keypairs(B, C, None)),
        (Keypairs(A, B, C), Keypairs(B, C, None)),
        (Keypairs(A, None, C), Keypairs(A, C, None)),
    ],
)
def test_confirmed(before: Keypairs, after: Keypairs) -> None:
    assert before.confirmed() == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Keypairs(), Keypairs()),
        (Keypairs(A, B, C), Keypairs(B, None, C)),
        (Keypairs(A, None, C), Keypairs(A, None, C)),
    ],
)
def test_without_sending(before: Keypairs, after: Keypairs) -> None:
    assert before.without_sending() == after
