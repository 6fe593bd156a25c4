"""Very large configurations in, the same out again, in the order they were given."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.netns.lab import KeyPair, Laboratory, Tunnel
from tests.netns.namespace import CommandFailedError, run
from tests.peers import Program

pytestmark = pytest.mark.netns

MANY = [f"{a}.{b}.{c}.0/32" for a in (10, 11) for b in range(255) for c in range(256)]


@pytest.fixture
def alone(lab: Laboratory, program: Program) -> Tunnel:
    """One interface without a key, down."""
    return lab.tunnel(program, lab.namespace("alone")).start()


def test_a_hundred_thousand_prefixes_on_one_peer(alone: Tunnel, lab: Laboratory) -> None:
    assert len(MANY) == 130_560
    peer = KeyPair.generate().public
    _load(alone, lab.folder / "many.conf", {peer: MANY})
    words = alone.shown("allowed-ips", peer).split()
    assert len(words) == len(MANY)
    assert set(words) == set(MANY)


def test_forty_peers_with_fifty_two_prefixes_each(alone: Tunnel, lab: Laboratory) -> None:
    wanted = {
        _public(number): [f"{number}.{prefix}.0.0/16" for prefix in range(26)]
        + [f"fd00:{number}:{prefix}::/48" for prefix in range(1, 27)]
        for number in range(1, 41)
    }
    _load(alone, lab.folder / "peers.conf", wanted)
    assert {row[0]: set(row[1:]) for row in alone.show("allowed-ips")} == {
        peer: set(prefixes) for peer, prefixes in wanted.items()
    }


def test_thirty_peers_are_listed_in_the_order_they_came(alone: Tunnel) -> None:
    peers = [_public(number) for number in range(30)]
    for peer in peers:
        alone.peer(peer)
    assert [row[0] for row in alone.show("peers")] == peers


def test_many_prefixes_on_one_of_two_peers(alone: Tunnel, lab: Laboratory) -> None:
    wanted = {_public(1): [], _public(2): [f"10.0.{number}.0/24" for number in range(197)]}
    _load(alone, lab.folder / "two.conf", wanted)
    rows = {row[0]: row[1:] for row in alone.show("allowed-ips")}
    assert rows[_public(1)] == ["(none)"]
    assert set(rows[_public(2)]) == set(wanted[_public(2)])


def test_an_unknown_interface_is_an_error() -> None:
    with pytest.raises(CommandFailedError):
        run("wg", "show", "ks-no-such-one")
    with pytest.raises(CommandFailedError):
        run("wg", "set", "ks-no-such-one", "listen-port", "1")


def _load(tunnel: Tunnel, file: Path, peers: dict[str, list[str]]) -> None:
    with file.open("w") as out:
        for peer, prefixes in peers.items():
            out.write(f"[Peer]\nPublicKey = {peer}\n")
            out.writelines(f"AllowedIPs = {prefix}\n" for prefix in prefixes)
    run("wg", "addconf", tunnel.name, str(file))


def _public(number: int) -> str:
    """Any 32 bytes are a public key."""
    return run("base64", stdin=chr(ord("A") + number % 26) * 30 + f"{number:02}").strip()
