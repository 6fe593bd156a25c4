"""Kinds of documents: which are read, which are ignored, and which nobody knows."""

from __future__ import annotations

import pytest

from kubespan.config.document import Documents, kind_of
from kubespan.config.known import KINDS
from kubespan.config.kubespan import KubeSpan
from kubespan.config.legacy import LegacyDocument
from kubespan.config.mistake import Findings
from kubespan.config.tree import Mapping
from tests.config.reading import SECRET, load, mistakes, node


def document(**keys: object) -> Mapping:
    made = node(keys)
    assert isinstance(made, Mapping)
    return made


@pytest.mark.parametrize(
    ("kind", "meant"),
    [
        ("KubeSpanConfig", "KubeSpanConfig"),
        ("KubespanEndpointsConfig", "KubeSpanEndpointsConfig"),
        (None, ""),
        ([], ""),
    ],
)
def test_the_kind_of_a_document(kind: object, meant: str) -> None:
    assert kind_of(document(kind=kind)) == meant


def test_a_document_without_kind_is_the_single_one() -> None:
    assert kind_of(document(machine={})) == ""
    documents = Documents(Findings())
    documents.add(document(machine={}))
    assert documents.first(LegacyDocument) is not None
    assert documents.first(KubeSpan) is None


def test_every_kind_that_talos_knows_is_ignored_by_its_name() -> None:
    kinds = sorted(KINDS)
    text = "---\n".join(f"apiVersion: v1alpha1\nkind: {kind}\nwhatever: [1]\n" for kind in kinds)
    ignored = load(text).ignored
    assert [one.path for one in ignored] == kinds
    assert [one.place.line for one in ignored] == [1 + 4 * n for n in range(len(kinds))]


HEADS = [
    ("kind: KubeSpanConfig\n", "1:1: KubeSpanConfig.apiVersion: write apiVersion: v1alpha1"),
    (
        "apiVersion: v1\nkind: KubeSpanConfig\n",
        "1:13: KubeSpanConfig.apiVersion: write apiVersion: v1alpha1",
    ),
    (
        "apiVersion: []\nkind: KubeSpanConfig\n",
        "1:13: KubeSpanConfig.apiVersion: write apiVersion: v1alpha1",
    ),
    (
        "apiVersion: v1alpha1\n",
        "1:1: kind: write the kind of this document, such as KubeSpanConfig",
    ),
    (
        "apiVersion: v1alpha1\nkind:\n",
        "2:6: kind: write the kind of this document, such as KubeSpanConfig",
    ),
    (
        "kind: [KubeSpanConfig]\n",
        "1:7: kind: write the kind of this document, such as KubeSpanConfig",
    ),
    (
        "apiVersion: v1alpha1\nkind: KubespanConfig\n",
        "2:7: kind: there is no kind 'KubespanConfig'; did you mean KubeSpanConfig?",
    ),
    (
        "apiVersion: v1alpha1\nkind: LnkConfig\n",
        "2:7: kind: there is no kind 'LnkConfig'; did you mean LinkConfig?",
    ),
    (
        "apiVersion: v1alpha1\nkind: Deployment\n",
        "2:7: kind: there is no kind 'Deployment'; remove it",
    ),
    (
        f"apiVersion: v1alpha1\nkind: {SECRET}\n",
        "2:7: kind: there is no kind 44 characters that may be a secret; remove it",
    ),
]


@pytest.mark.parametrize(("text", "message"), HEADS)
def test_heads_of_documents(text: str, message: str) -> None:
    assert mistakes(text) == [message]


def test_no_two_documents_of_one_kind() -> None:
    head = "---\napiVersion: v1alpha1\nkind: "
    text = (
        f"machine: {{}}\n"
        f"{head}KubeSpanConfig\n"
        f"{head}KubeSpanEndpointsConfig\n"
        f"---\ncluster: {{}}\n"
        f"{head}KubeSpanConfig\n"
        f"{head}KubespanEndpointsConfig\n"
    )
    assert mistakes(text) == [
        "9:1: there is a document without a kind in line 1 already; make them one",
        "11:1: KubeSpanConfig: there is a KubeSpanConfig in line 3 already; make them one",
        (
            "14:1: KubeSpanEndpointsConfig: there is a KubeSpanEndpointsConfig in line 6 already;"
            " make them one"
        ),
    ]


def test_services_are_told_apart_by_name() -> None:
    head = "---\napiVersion: v1alpha1\nkind: DiscoveryServiceConfig\nendpoint: https://h\n"
    identity = f"cluster: {{id: x, secret: {SECRET}}}\n"
    assert mistakes(f"{identity}{head}name: a\n{head}name: b\n") == []
    assert mistakes(f"{identity}{head}name: a\n{head}name: a\n") == [
        (
            "8:1: DiscoveryServiceConfig: there is a DiscoveryServiceConfig of this name in line 3"
            " already; make them one"
        )
    ]


def test_ignored_kinds_may_be_repeated() -> None:
    text = "---\napiVersion: v1alpha1\nkind: LinkConfig\n" * 2
    assert len(load(text).ignored) == 2
