"""The Protocols and their pure twins name the same things: nothing missing, nothing more."""

from __future__ import annotations

import inspect

import pytest

from kubespan.wireguard import datapath
from kubespan.wireguard.keypair import PureKeypair
from kubespan.wireguard.purepath import PurePath
from kubespan.wireguard.slot import PureSlot
from tests.wireguard.twins import keypair

# What the type checker holds the twins to.
PATH: datapath.DataPath = PurePath()
SLOT: datapath.PeerSlot = PureSlot()
KEYPAIR: datapath.Keypair = keypair()


def public_names(thing: object) -> set[str]:
    return {name for name, _ in inspect.getmembers(thing) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("protocol", "twin"),
    [(datapath.DataPath, PATH), (datapath.PeerSlot, SLOT), (datapath.Keypair, KEYPAIR)],
)
def test_twins_offer_exactly_what_is_promised(protocol: type, twin: object) -> None:
    assert public_names(twin) == public_names(protocol)


@pytest.mark.parametrize(
    ("protocol", "twin"),
    [
        (datapath.DataPath, PurePath),
        (datapath.PeerSlot, PureSlot),
        (datapath.Keypair, PureKeypair),
    ],
)
def test_every_promise_is_explained(protocol: type, twin: type) -> None:
    for name in public_names(protocol):
        assert inspect.getdoc(getattr(protocol, name)), f"{twin.__name__}: {name}"
