"""Which endpoints pass a list of filters, and in which order. Talos `filters.endpoints`.

Items are taken in their order over a result that is empty at first: `10.0.0.0/8` appends what it
contains and is not there yet, `!10.1.0.0/16` removes what it contains. So the order of the filters
is the order of the result, and a list that only removes leaves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kubespan.model.address import Endpoint, Prefix
from kubespan.model.errors import ConfigError


@dataclass(frozen=True, slots=True)
class EndpointFilter:
    """One item of the list."""

    prefix: Prefix
    removes: bool

    @classmethod
    def parse(cls, text: str) -> EndpointFilter:
        """Read `10.0.0.0/8`, `192.0.2.1` or either behind a `!`. Raises ConfigError."""
        place = text.removeprefix("!")
        try:
            # One address is a prefix of full length.
            length = "" if "/" in place else "/128" if ":" in place else "/32"
            return cls(Prefix.parse(place + length), place != text)
        except ConfigError:
            raise ConfigError(
                f"{place!r} is not an endpoint filter; write an address or a prefix such as"
                " 10.0.0.0/8, behind a ! to leave out what it contains"
            ) from None


def filtered_endpoints(
    endpoints: Iterable[Endpoint], filters: Iterable[str] | None
) -> tuple[Endpoint, ...]:
    """Return the endpoints that pass, each once; without filters, None, all of them.

    Raises ConfigError if a filter is none.
    """
    candidates = tuple(dict.fromkeys(endpoints))
    if filters is None:
        return candidates
    passed: list[Endpoint] = []
    for item in map(EndpointFilter.parse, filters):
        if item.removes:
            passed = [e for e in passed if not item.prefix.contains(e.address)]
        else:
            passed += [e for e in candidates if item.prefix.contains(e.address) and e not in passed]
    return tuple(passed)
