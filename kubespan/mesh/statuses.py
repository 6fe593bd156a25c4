"""How it stands with all peers: every status, look after look. Rules for one are in `status`.

Remembers which endpoints answered before, so that they are tried first, and which are new, so that
a peer that is not up is tried there at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from kubespan.mesh.status import NEVER, next_look_at, next_status
from kubespan.model.address import Endpoint
from kubespan.model.keys import PublicKey
from kubespan.model.resources import (
    KubeSpanPeerSpec,
    KubeSpanPeerStatus,
    PeerReading,
    PeerState,
)

REMEMBERED: Final = 4
"""Endpoints of a peer that answered before and are tried first."""


@dataclass(slots=True)
class _Record:
    """What is known of one peer between looks."""

    spec: KubeSpanPeerSpec
    status: KubeSpanPeerStatus
    reading: PeerReading | None = None
    answered: tuple[Endpoint, ...] = ()
    """Newest first."""

    look_at: float = 0.0
    trying_since: float | None = None
    """When an endpoint was first tried since the peer was last up."""


class Statuses:
    """The statuses of all peers, by their keys."""

    def __init__(self) -> None:
        self._records: dict[PublicKey, _Record] = {}

    def by_key(self) -> dict[PublicKey, KubeSpanPeerStatus]:
        """Return every status as of the last look."""
        return {key: record.status for key, record in self._records.items()}

    def trying_since(self) -> dict[PublicKey, float]:
        """Return since when every peer that is not up is being tried: seconds since boot.

        A peer that there was nothing to try of is left out. All its endpoints are tried by turns.
        """
        return {
            key: record.trying_since
            for key, record in self._records.items()
            if record.trying_since is not None
        }

    def next_look_at(self) -> float:
        """Return when time alone may next change one: seconds since boot, or infinity."""
        return min((record.look_at for record in self._records.values()), default=NEVER)

    def look(
        self,
        specs: Iterable[KubeSpanPeerSpec],
        readings: Mapping[PublicKey, PeerReading] | None,
        now: float,
    ) -> None:
        """Bring every status up to date; `readings` is None where there is no interface yet."""
        records = {}
        for spec in specs:
            record = self._records.get(spec.public_key)
            fresh = None
            if record is None:
                record = _Record(spec, KubeSpanPeerStatus(spec.label))
            else:
                fresh = _fresh(spec, record)
            reading = readings.get(spec.public_key) if readings is not None else None
            is_same = record.spec is spec or record.spec == spec
            if not is_same or record.reading != reading or record.look_at <= now:
                _look(record, spec, reading, fresh, now)
            records[spec.public_key] = record
        self._records = records


def trial_order(
    endpoints: tuple[Endpoint, ...], answered: tuple[Endpoint, ...]
) -> tuple[Endpoint, ...]:
    """Return the endpoints in the order in which to try them: those that answered before first."""
    proven = tuple(endpoint for endpoint in answered if endpoint in endpoints)
    return proven + tuple(endpoint for endpoint in endpoints if endpoint not in proven)


def _look(
    record: _Record,
    spec: KubeSpanPeerSpec,
    reading: PeerReading | None,
    fresh: Endpoint | None,
    now: float,
) -> None:
    order = trial_order(spec.endpoints, record.answered)
    record.status = next_status(record.status, reading, order, now, fresh=fresh)
    record.spec, record.reading = spec, reading
    record.look_at = next_look_at(record.status, reading, now)
    record.trying_since = _trying_since(record, now)
    answering = record.status.endpoint
    if record.status.state is PeerState.UP and answering is not None:
        others = (endpoint for endpoint in record.answered if endpoint != answering)
        record.answered = (answering, *others)[:REMEMBERED]


def _trying_since(record: _Record, now: float) -> float | None:
    if record.status.state is PeerState.UP or record.status.last_used_endpoint is None:
        return None
    return now if record.trying_since is None else record.trying_since


def _fresh(spec: KubeSpanPeerSpec, record: _Record) -> Endpoint | None:
    """Return an endpoint that the peer has now and did not have at the last look."""
    if spec.endpoints == record.spec.endpoints:
        return None
    known = (*record.spec.endpoints, record.status.endpoint, record.status.last_used_endpoint)
    return next((endpoint for endpoint in spec.endpoints if endpoint not in known), None)
