"""Names: none is both read and ignored, and ours cannot be taken for one of Talos's."""

from __future__ import annotations

from difflib import get_close_matches

from kubespan.config import known
from kubespan.config.document import SECTIONS
from kubespan.config.legacy import Cluster, LegacyDocument, Machine, Network


def test_no_name_is_read_and_ignored() -> None:
    for section in (LegacyDocument, Machine, Network, Cluster):
        assert section.elsewhere
        assert section.elsewhere.isdisjoint(section.keys())
    assert known.KINDS.isdisjoint(SECTIONS)
    assert known.KINDS.isdisjoint(known.OLD_KINDS)


def test_kinds_look_like_kinds() -> None:
    assert [kind for kind in known.KINDS if not (kind.endswith("Config") and kind.isalnum())] == []
    assert len(known.KINDS) == 85
    assert {"HostnameConfig", "LinkConfig", "VolumeConfig", "KubeNodeConfig"} <= known.KINDS


def test_our_kind_looks_like_none_of_talos() -> None:
    others = {*known.KINDS, *SECTIONS, *known.OLD_KINDS} - {known.OWN}
    assert get_close_matches(known.OWN, others, 1, 0.7) == []
