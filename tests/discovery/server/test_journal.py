"""The journal that keeps nothing."""

from __future__ import annotations

from kubespan.discovery.server.journal import Journal, NoJournal, Saved


def test_no_journal_takes_everything_and_keeps_nothing() -> None:
    journal: Journal = NoJournal()
    journal.admit()
    journal.put(Saved("cluster", "a", b"data", 1.0, ()))
    journal.remove("cluster", "a")
    assert vars(journal) == {}
