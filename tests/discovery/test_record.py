"""What watchers are told."""

from __future__ import annotations

import weakref

from kubespan.discovery.record import AffiliateRecord, Notification


def test_removal_carries_the_id_alone() -> None:
    assert Notification.removal("a") == Notification((AffiliateRecord("a", b"", ()),), deleted=True)


def test_a_change_is_no_removal() -> None:
    assert not Notification(()).deleted


def test_what_was_made_of_it_can_be_kept_with_it() -> None:
    notification = Notification(())
    assert weakref.ref(notification)() is notification
