"""What kind each document of a file is, and which of them mean something to us.

Talos: a document without a kind is the single document; all others say `apiVersion: v1alpha1` and a
kind, and no two have both kind and name in common.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Final

from kubespan.config import known
from kubespan.config.discovery import DiscoveryIdentityDocument, DiscoveryServiceDocument
from kubespan.config.kubespan import KubeSpan, KubeSpanEndpoints
from kubespan.config.legacy import LegacyDocument
from kubespan.config.mistake import Findings, quote
from kubespan.config.own import OwnDocument
from kubespan.config.section import AnySection, Section, advise, read_section
from kubespan.config.tree import Mapping, Scalar, View, child

SECTIONS: Final[dict[str, type[Section]]] = {
    known.KUBESPAN: KubeSpan,
    known.ENDPOINTS: KubeSpanEndpoints,
    known.IDENTITY: DiscoveryIdentityDocument,
    known.SERVICE: DiscoveryServiceDocument,
    known.OWN: OwnDocument,
}
"""What stands in a document, by its kind."""

_HEAD: Final = frozenset({"apiVersion", "kind"})


class Documents:
    """The documents that mean something, as sections with their views."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._found: list[tuple[Section, View]] = []
        self._lines: dict[tuple[str, str], int] = {}

    def all(self, model: type[AnySection]) -> list[tuple[AnySection, View]]:
        """Return all documents of one kind, in the order of the text."""
        return [(found, view) for found, view in self._found if isinstance(found, model)]

    def first(self, model: type[AnySection]) -> tuple[AnySection, View] | None:
        """Return the first document of a kind, None if there is none."""
        return next(iter(self.all(model)), None)

    def add(self, root: Mapping) -> None:
        """Take a document: read it, or say that it is ignored, or what is wrong with it."""
        kind = kind_of(root)
        view = View(root, (kind,) if kind else (), self._findings)
        if not _HEAD & root.entries.keys():
            self._read(LegacyDocument, "", view)
        elif kind in SECTIONS:
            self._check_version(view)
            self._read(SECTIONS[kind], kind, view)
        elif kind in known.KINDS:
            self._findings.add_ignored(root.place, (kind,))
        else:
            self._refuse(view, kind)

    def _read(self, model: type[Section], kind: str, view: View) -> None:
        if self._is_repeated(kind, view):
            return
        assert isinstance(view.node, Mapping)
        entries = {k: e for k, e in view.node.entries.items() if not kind or k not in _HEAD}
        node = replace(view.node, entries=MappingProxyType(entries))
        self._found.append(read_section(model, replace(view, node=node)))

    def _is_repeated(self, kind: str, view: View) -> bool:
        name = child(view.node, "name")
        named = name.text if isinstance(name, Scalar) and kind == known.SERVICE else ""
        first = self._lines.get((kind, named))
        if first is None:
            self._lines[kind, named] = view.node.place.line
            return False
        what = f"{kind or 'document without a kind'}{' of this name' if named else ''}"
        view.mistake(f"there is a {what} in line {first} already; make them one")
        return True

    def _check_version(self, view: View) -> None:
        version = child(view.node, "apiVersion")
        if not (isinstance(version, Scalar) and version.text == known.API_VERSION):
            view.at("apiVersion").mistake(f"write apiVersion: {known.API_VERSION}")

    def _refuse(self, view: View, kind: str) -> None:
        if not kind:
            view.at("kind").mistake("write the kind of this document, such as KubeSpanConfig")
            return
        advice = advise(kind, tuple(SECTIONS), known.KINDS)
        place = View(view.node, (), view.findings).at("kind")
        place.mistake(f"there is no kind {quote(kind)}; {advice}")


def kind_of(root: Mapping) -> str:
    """Return the kind of a document as it is written today; empty if it says none."""
    kind = child(root, "kind")
    if not isinstance(kind, Scalar) or kind.is_null:
        return ""
    return known.OLD_KINDS.get(kind.text, kind.text)
