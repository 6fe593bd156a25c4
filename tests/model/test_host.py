"""The host's values: which link is physical, which is the first, which flags count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kubespan.model.host import AddressFlag, Link, OperationalState, first_physical_link
from tests.hosts import CARD


@pytest.mark.parametrize(
    ("link", "is_physical"),
    [
        (CARD, True),
        (replace(CARD, kind="veth"), False),
        (replace(CARD, is_ethernet=False), False),
        (replace(CARD, is_up=False, has_carrier=False, state=OperationalState.DOWN), True),
    ],
)
def test_physical_is_ethernet_that_nothing_made(link: Link, is_physical: bool) -> None:
    assert link.is_physical is is_physical


def test_the_first_is_first_by_name() -> None:
    links = (
        replace(CARD, index=1, name="lo", is_ethernet=False, mac=bytes(6)),
        replace(CARD, index=2, name="enp3s0"),
        replace(CARD, index=3, name="enp10s0"),
        replace(CARD, index=4, name="bond0", kind="bond"),
        replace(CARD, index=5, name="a", mac=bytes(6)),
        replace(CARD, index=6, name="b", mac=b""),
        replace(CARD, index=7, name="c", mac=bytes(range(20))),
    )
    assert first_physical_link(links) == links[2]
    assert first_physical_link(reversed(links)) == links[2]


@pytest.mark.parametrize("links", [(), (replace(CARD, kind="dummy"),)])
def test_there_may_be_none(links: tuple[Link, ...]) -> None:
    assert first_physical_link(links) is None


def test_flags_are_the_kernels_and_others_of_it_are_left_out() -> None:
    assert AddressFlag(0x80) == AddressFlag(0)
    assert AddressFlag(0x1C0) == AddressFlag.TENTATIVE
    assert AddressFlag(0x29) == (
        AddressFlag.TEMPORARY | AddressFlag.DUPLICATE | AddressFlag.DEPRECATED
    )
