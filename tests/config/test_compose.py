"""YAML to trees: documents, places, repeated keys, aliases; and nothing is too odd for it."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubespan.config import compose as module
from kubespan.config.compose import MAX_DEPTH, MAX_NODES, Slip, compose, place_after
from kubespan.config.mistake import Place
from kubespan.config.tree import Mapping, Node, Scalar, Sequence


def plain(node: Node) -> object:
    match node:
        case Scalar():
            return node.text
        case Sequence():
            return [plain(item) for item in node.items]
        case Mapping():
            return {key: plain(entry.value) for key, entry in node.entries.items()}


def only(text: str) -> object:
    composed = compose(text)
    assert composed.end is None
    (document,) = composed.documents
    assert document.slips == ()
    return plain(document.root)


def slips(text: str) -> list[str]:
    composed = compose(text)
    assert composed.end is None
    return [
        f"{slip.place.line}:{slip.place.column}: {slip.steps}: {slip.message}"
        for document in composed.documents
        for slip in document.slips
    ]


def end(text: str) -> Slip:
    composed = compose(text)
    assert composed.end is not None
    return composed.end


def test_values_keep_their_text() -> None:
    assert only("a: 1\nb: [yes, 'no', ~]\nc: {d: 0x10}\n") == {
        "a": "1",
        "b": ["yes", "no", "~"],
        "c": {"d": "0x10"},
    }


def test_documents_are_apart() -> None:
    assert [plain(d.root) for d in compose("a: 1\n---\nb: 2\n---\n").documents] == [
        {"a": "1"},
        {"b": "2"},
        "",
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "\n\n"])
def test_an_empty_text_has_no_document(text: str) -> None:
    assert compose(text) == module.Composed(())


def test_everything_knows_its_place() -> None:
    (document,) = compose("# é\né: x\nb:\n  - c: é\n    d: |\n      x\n").documents
    assert isinstance(document.root, Mapping)
    b = document.root.entries["b"]
    assert (b.place, b.value.place) == (Place(3, 1), Place(4, 3))
    assert isinstance(b.value, Sequence)
    assert isinstance(b.value.items[0], Mapping)
    c, d = b.value.items[0].entries["c"], b.value.items[0].entries["d"]
    assert (c.place, c.value.place) == (Place(4, 5), Place(4, 8))
    assert (d.place, d.value.place) == (Place(5, 5), Place(5, 8))


@pytest.mark.parametrize(
    ("text", "is_plain", "tag"),
    [
        ("yes", True, ""),
        ("'yes'", False, ""),
        ('"yes"', False, ""),
        ("|\n yes", False, ""),
        ("!!str yes", True, "tag:yaml.org,2002:str"),
        ("!own yes", True, "!own"),
        ("! yes", False, ""),
    ],
)
def test_a_scalar_knows_how_it_was_written(text: str, is_plain: bool, tag: str) -> None:
    (document,) = compose(text).documents
    assert isinstance(document.root, Scalar)
    assert (document.root.text, document.root.is_plain, document.root.tag) == ("yes", is_plain, tag)


def test_an_alias_is_what_it_names() -> None:
    assert only("a: &x {b: 1}\nc: *x\n") == {"a": {"b": "1"}, "c": {"b": "1"}}


@pytest.mark.parametrize(
    ("text", "merged"),
    [
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\n", {"b": "1", "c": "3"}),
        ("a: &x {b: 1, c: 2}\nd: {c: 3, <<: *x}\n", {"b": "1", "c": "3"}),
        ("a: [&x {b: 1}, &y {b: 2, c: 3}]\nd: {<<: [*x, *y]}\n", {"b": "1", "c": "3"}),
        ("a: &x {b: 1}\nd: {'<<': x}\n", {"<<": "x"}),
    ],
)
def test_merge_keys_bring_in_what_is_not_there(text: str, merged: object) -> None:
    whole = only(text)
    assert isinstance(whole, dict)
    assert whole["d"] == merged


SLIPS = [
    ("a: 1\nb: 2\na: 3\n", "3:1: ('a',): remove this; the key stands in line 1 already"),
    ("a:\n- b: 1\n  b: 2\n", "3:3: ('a', 0, 'b'): remove this; the key stands in line 2 already"),
    ("a: {x: 1, x: 2}", "1:11: ('a', 'x'): remove this; the key stands in line 1 already"),
    ("? [a]\n: 1\n", "1:3: (): a key is a word, not a list or a mapping; quote it"),
    ("? {a: 1, a: 2}\n: 1\n", "1:10: ('', 'a'): remove this; the key stands in line 1 already"),
    ("a: *b\n", "1:4: ('a',): nothing before this is named &b; quote a text that begins with *"),
    ("&a [*a]\n", "1:5: (0,): nothing before this is named &a; quote a text that begins with *"),
    ("a: {<<: b}\n", "1:9: ('a',): << merges a mapping; write an alias such as <<: *name"),
]


@pytest.mark.parametrize(("text", "slip"), SLIPS)
def test_what_is_wrong_as_yaml_is_said_of_its_place(text: str, slip: str) -> None:
    assert slip in slips(text)


def test_the_first_of_repeated_keys_counts() -> None:
    (document,) = compose("a: 1\na: 2\n").documents
    assert plain(document.root) == {"a": "1"}


def test_names_end_with_their_document() -> None:
    assert len(slips("a: &x 1\n---\na: *x\n")) == 1


ENDS = [
    ("a: b\n\tc: d\n", 2, 1, "indent with spaces"),
    ("a:\n\tb: c\n", 2, 1, "indent with spaces"),
    ("a: b: c\n", 1, 5, "indent it like the keys beside it"),
    ("a: [\n", 2, 1, "quotes and brackets are closed"),
    ("a: 'x\n", 2, 1, "close the quote"),
    ("a: b\nc\n", 3, 1, "write a key, a colon and a space"),
    ("%YAML 3.0\n---\na: 1\n", 1, 1, "remove the %YAML line"),
    ("a: !x!y b\n", 1, 4, "remove the tag"),
    ("a: \x00x\n", 1, 4, "remove the character U+0000"),
    ("é: \x07\n", 1, 4, "remove the character U+0007"),
    ("a: 1\r\nb: \x07", 2, 4, "remove the character U+0007"),
    ("a: \ud800\n", 1, 4, "remove the character U+D800"),
    ("- " * (MAX_DEPTH + 1), 1, 2 * MAX_DEPTH + 1, f"nest at most {MAX_DEPTH} levels"),
    ("[" * 100_000, 1, None, "nest"),
    ("[" + "a," * (MAX_NODES + 1), 1, None, f"more than {MAX_NODES} values"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), ENDS, ids=range(len(ENDS)))
def test_what_cannot_be_read_further_is_said(
    text: str, line: int, column: int | None, message: str
) -> None:
    slip = end(text)
    assert slip.place == Place(line, column or slip.place.column)
    assert message in slip.message


def test_what_stands_before_the_end_is_there() -> None:
    assert [plain(d.root) for d in compose("a: 1\n---\nb: [\n").documents] == [{"a": "1"}]


def test_the_deepest_that_is_taken() -> None:
    assert compose("- " * (MAX_DEPTH - 1) + "x").end is None


def test_many_aliases_are_few_nodes() -> None:
    lines = ["a0: &a0 [x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]
    assert compose("\n".join(lines)).end is None


def test_merged_keys_count() -> None:
    keys = ", ".join(f"k{n}: 1" for n in range(1000))
    slip = end(f"a: &a {{{keys}}}\nb: {{<<: [{', '.join(['*a'] * 300)}]}}\n")
    assert f"more than {MAX_NODES}" in slip.message
    assert slip.place.line == 2


def test_a_problem_without_a_place_is_at_the_start() -> None:
    nowhere = yaml.MarkedYAMLError(problem="something")
    assert module._syntax_slip("a", nowhere).place == Place(1, 1)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", Place(1, 1)),
        ("ab", Place(1, 3)),
        ("a\nb", Place(2, 2)),
        ("a\r\n\rb\n", Place(4, 1)),
        ("a\u2028b", Place(2, 2)),
    ],
)
def test_the_place_behind_a_text(text: str, place: Place) -> None:
    assert place_after(text) == place


@given(st.text(alphabet=st.one_of(st.sampled_from("ab:-[]{}&*!|>'\"%#?<,\n\t ~"), st.characters())))
def test_no_text_is_too_odd(text: str) -> None:
    compose(text)
