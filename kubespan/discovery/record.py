"""What the discovery server shows of an affiliate, and how it tells of a change.

Opaque on purpose: data and endpoints are sealed by members, and the server has no key. Values are
shared by all who watch and never change.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AffiliateRecord:
    """One affiliate as List and Watch show it; endpoints in the order of first submission."""

    id: str
    data: bytes
    endpoints: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Notification:
    """One message to a watcher: everything there is, or the one record that changed or went.

    There is one object for all watchers, so that what it becomes on the wire can be made once.
    """

    affiliates: tuple[AffiliateRecord, ...]
    deleted: bool = False

    @classmethod
    def removal(cls, affiliate_id: str) -> Notification:
        """Return the message that a record is gone, which carries only its id."""
        return cls((AffiliateRecord(affiliate_id, b"", ()),), deleted=True)
