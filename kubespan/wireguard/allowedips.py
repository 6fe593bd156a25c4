"""Which peer an inner address belongs to: the longest matching prefix, over all peers at once.

A table for each prefix length, searched from the longest to the shortest. It is the reference for
the native trie and holds the truth that is published to it. Paper §2 (cryptokey routing).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeAlias, TypeVar

from kubespan.model.address import Prefix

PeerT = TypeVar("PeerT", bound=Hashable)

_Prefixes: TypeAlias = tuple[Prefix, ...] | dict[Prefix, None]
"""In the order in which they were given. Most peers have few, which take a quarter of the room."""

_FEW = 8


class AllowedIPs(Generic[PeerT]):
    """Prefixes, each of which belongs to exactly one peer."""

    def __init__(self) -> None:
        self._tables: dict[int, dict[int, dict[int, PeerT]]] = {4: {}, 6: {}}
        self._prefixes: dict[PeerT, _Prefixes] = {}

    def insert(self, prefix: Prefix, peer: PeerT) -> None:
        """Give a prefix to a peer, taking it from whoever has it."""
        table = self._table(prefix)
        owner = table.get(prefix.value)
        if owner is not None and owner is not peer:
            self._prefixes[owner] = _without(self._prefixes[owner], prefix)
        table[prefix.value] = peer
        self._prefixes[peer] = _with(self._prefixes.get(peer, ()), prefix)

    def remove(self, prefix: Prefix, peer: PeerT) -> None:
        """Take a prefix from a peer; nothing happens if it belongs to another or to nobody."""
        mine = self._prefixes.get(peer, ())
        if prefix in mine:
            self._prefixes[peer] = _without(mine, prefix)
            self._withdraw(prefix)

    def remove_peer(self, peer: PeerT) -> None:
        """Take everything from a peer."""
        for prefix in self._prefixes.pop(peer, ()):
            self._withdraw(prefix)

    def lookup(self, version: int, value: int) -> PeerT | None:
        """Return the peer with the longest prefix that holds this address, or None."""
        bits = 32 if version == 4 else 128
        for length, table in self._tables[version].items():
            shift = bits - length
            owner = table.get(value >> shift << shift)
            if owner is not None:
                return owner
        return None

    def prefixes(self, peer: PeerT) -> tuple[Prefix, ...]:
        """Return the prefixes of a peer in the order in which it was given them."""
        return tuple(self._prefixes.get(peer, ()))

    def entries(self) -> Iterator[tuple[Prefix, PeerT]]:
        """Iterate over all prefixes and their peers."""
        for peer, prefixes in self._prefixes.items():
            for prefix in prefixes:
                yield prefix, peer

    def _table(self, prefix: Prefix) -> dict[int, PeerT]:
        """Return the table of this prefix length; a new one finds its place, longest first."""
        tables = self._tables[prefix.version]
        if prefix.length not in tables:
            tables[prefix.length] = {}
            self._tables[prefix.version] = dict(sorted(tables.items(), reverse=True))
        return self._tables[prefix.version][prefix.length]

    def _withdraw(self, prefix: Prefix) -> None:
        tables = self._tables[prefix.version]
        del tables[prefix.length][prefix.value]
        if not tables[prefix.length]:
            del tables[prefix.length]


def _with(prefixes: _Prefixes, prefix: Prefix) -> _Prefixes:
    """Return the prefixes with one more at the end, unless it is among them; a dict is changed."""
    if isinstance(prefixes, dict):
        prefixes[prefix] = None
        return prefixes
    if prefix in prefixes:
        return prefixes
    more = (*prefixes, prefix)
    return more if len(more) <= _FEW else dict.fromkeys(more)


def _without(prefixes: _Prefixes, prefix: Prefix) -> _Prefixes:
    """Return the prefixes without one that is among them; a dict is changed."""
    if isinstance(prefixes, dict):
        del prefixes[prefix]
        return prefixes
    return tuple([other for other in prefixes if other != prefix])
