"""Records that tests can read: what is inside is text, and `!reason` cannot be opened."""

from __future__ import annotations

from dataclasses import dataclass

from kubespan.discovery.record import AffiliateRecord
from kubespan.model.resources import Affiliate


@dataclass(frozen=True, slots=True)
class Told:
    """What came of opening one."""

    affiliate: Affiliate | None
    refusals: tuple[str, ...] = ()


def record(id_: str, hostname: str = "one", *endpoints: bytes) -> AffiliateRecord:
    """Return a record as it travels."""
    return AffiliateRecord(id_, hostname.encode(), endpoints)


def open_record(sealed: AffiliateRecord) -> Told:
    """Return what is in a record; an endpoint counts as a refusal."""
    text = sealed.data.decode()
    if text.startswith("!"):
        return Told(None, (text[1:],))
    refusals = tuple(endpoint.decode() for endpoint in sealed.endpoints)
    return Told(Affiliate(sealed.id, hostname=text), refusals)


def affiliate(id_: str, hostname: str = "one") -> Affiliate:
    """Return what is inside."""
    return Affiliate(id_, hostname=hostname)
