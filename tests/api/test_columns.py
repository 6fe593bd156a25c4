"""Columns: every kind has its own, and each is a field that its resources have."""

from __future__ import annotations

from kubespan.api.columns import COLUMNS
from kubespan.api.rendering import Manner, rendered_spec
from kubespan.store.kind import KINDS
from tests.api.nodes import FakeNode


def test_every_kind_has_columns() -> None:
    assert set(COLUMNS) == set(KINDS)


def test_columns_show_what_is_there() -> None:
    store = FakeNode().store
    for kind, columns in COLUMNS.items():
        resource = store.list(kind)[0]
        assert {field for _, field in columns} <= rendered_spec(resource.spec, Manner(0)).keys()


def test_headers_are_talos_s() -> None:
    headers = {kind.plural: [header for header, _ in found] for kind, found in COLUMNS.items()}
    assert headers["KubeSpanPeerStatuses"] == ["LABEL", "ENDPOINT", "STATE", "RX", "TX"]
    assert headers["Affiliates"] == ["HOSTNAME", "MACHINE TYPE", "ADDRESSES"]
