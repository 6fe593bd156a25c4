"""YAML text to trees, one for each document. Never raises because of the text, whatever it is.

From PyYAML's events, not from its own composer: that one recurses in C, keeps the last of repeated
keys without a word, and forgets which tags were written. Anything that makes a small text a large
tree is bounded: depth, nodes, merged keys. YAML 1.2 §3.2.1, and the merge key of YAML 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import yaml

from kubespan.config.mistake import Place, Steps
from kubespan.config.tree import Entry, Mapping, Node, Scalar, Sequence

MAX_DEPTH: Final = 64
"""Mappings and lists within each other."""

MAX_NODES: Final = 200_000
"""Values and keys of a whole text, merged keys included."""

LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MERGE: Final = "<<"

HINTS: Final = (
    ("tab", "indent with spaces; a tab cannot indent"),
    ("mapping values are not allowed", "indent it like the keys beside it, or quote the value"),
    ("could not find expected ':'", "write a key, a colon and a space, then the value"),
    ("unexpected end of stream", "close the quote"),
    ("incompatible YAML", "remove the %YAML line"),
    ("undefined tag handle", "remove the tag"),
    ("nesting depth", "that is nested too deeply"),
)
"""What to do about a problem that the scanner names by these words."""

HINT: Final = "check its indentation, and that quotes and brackets are closed"

_LINE_BREAK: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Slip:
    """A mistake in a document whose kind is not known yet."""

    place: Place
    steps: Steps
    message: str


@dataclass(frozen=True, slots=True)
class Composed:
    """What a text consists of."""

    documents: tuple[Document, ...]
    end: Slip | None = None
    """Why the text could not be read to its end."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document, and what is wrong with it as YAML."""

    root: Node
    slips: tuple[Slip, ...] = ()


class _EndError(Exception):
    """The text cannot be read further."""

    def __init__(self, slip: Slip) -> None:
        super().__init__()
        self.slip = slip


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is not finished. Keys and values alternate in a mapping."""

    place: Place
    anchor: str | None
    is_mapping: bool
    children: list[Node] = field(default_factory=list)

    def step(self) -> str | int:
        """Return the step to the child that is being made."""
        if not self.is_mapping:
            return len(self.children)
        key = self.children[-1] if len(self.children) % 2 else None
        return key.text if isinstance(key, Scalar) else ""


def compose(text: str) -> Composed:
    """Return the documents of a text, as far as it can be read."""
    composer = _Composer()
    end = None
    try:
        for event in _events(text):
            composer.receive(event)
    except _EndError as error:
        end = error.slip
    return Composed(tuple(composer.documents), end)


def place_after(text: str) -> Place:
    """Return where the character behind a text is."""
    lines = _LINE_BREAK.split(text)
    return Place(len(lines), len(lines[-1]) + 1)


def _events(text: str) -> Iterator[Any]:
    try:
        yield from yaml.parse(text, Loader=LOADER)
    except yaml.MarkedYAMLError as error:
        raise _EndError(_syntax_slip(text, error)) from None
    except yaml.reader.ReaderError as error:
        raise _EndError(_character_slip(text, error.character)) from None
    except UnicodeEncodeError as error:
        raise _EndError(_character_slip(text, text[error.start])) from None


def _syntax_slip(text: str, error: yaml.MarkedYAMLError) -> Slip:
    mark = error.problem_mark or error.context_mark
    place = _place(mark) if mark else Place(1, 1)
    line = _LINE_BREAK.split(text)[place.line - 1 : place.line]
    # The scanner does not always say that it was a tab which it stumbled over.
    is_tab = bool(line) and line[0][place.column - 1 : place.column] == "\t"
    problem = "tab" if is_tab else error.problem or ""
    hint = next((hint for words, hint in HINTS if words in problem), HINT)
    return Slip(place, (), f"this is not YAML: {hint}")


def _character_slip(text: str, character: str | int) -> Slip:
    found = character if isinstance(character, str) else chr(character)
    return Slip(
        place_after(text.partition(found)[0]), (), f"remove the character U+{ord(found):04X}"
    )


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


class _Composer:
    """Takes events, and has documents. Bounded in everything."""

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self._frames: list[_Frame] = []
        self._anchors: dict[str, Node] = {}
        self._slips: list[Slip] = []
        self._nodes = 0

    def receive(self, event: Any) -> None:
        """Take the next event. Raises _EndError where the text should not be read further."""
        match event:
            case yaml.DocumentStartEvent():
                self._anchors, self._slips = {}, []
            case yaml.ScalarEvent():
                self._finish(_scalar(event), event.anchor)
            case yaml.AliasEvent():
                self._finish(self._named(event), None)
            case yaml.CollectionStartEvent():
                self._begin(event)
            case yaml.MappingEndEvent():
                frame = self._frames.pop()
                self._finish(self._mapping(frame), frame.anchor)
            case yaml.SequenceEndEvent():
                frame = self._frames.pop()
                self._finish(Sequence(frame.place, tuple(frame.children)), frame.anchor)

    def _begin(self, event: Any) -> None:
        frame = _Frame(
            _place(event.start_mark), event.anchor, isinstance(event, yaml.MappingStartEvent)
        )
        if len(self._frames) == MAX_DEPTH:
            raise _EndError(Slip(frame.place, (), f"nest at most {MAX_DEPTH} levels"))
        self._frames.append(frame)

    def _finish(self, node: Node, anchor: str | None) -> None:
        self._count(1, node.place)
        if anchor is not None:
            # Only what is finished has a name, so nothing can contain itself.
            self._anchors[anchor] = node
        if self._frames:
            self._frames[-1].children.append(node)
        else:
            self.documents.append(Document(node, tuple(self._slips)))

    def _named(self, event: Any) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            place = _place(event.start_mark)
            message = (
                f"nothing before this is named &{event.anchor}; quote a text that begins with *"
            )
            self._slips.append(Slip(place, self._steps(), message))
            return Scalar(place, "")
        return node

    def _mapping(self, frame: _Frame) -> Mapping:
        entries: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key, value in zip(frame.children[::2], frame.children[1::2], strict=True):
            if not isinstance(key, Scalar):
                self._slip(key.place, "a key is a word, not a list or a mapping; quote it")
            elif key.is_plain and key.text == MERGE:
                merged = {**self._merged(value), **merged}
            elif key.text in entries:
                first = entries[key.text].place.line
                self._slip(key.place, f"remove this; the key stands in line {first} already", key)
            else:
                entries[key.text] = Entry(key.place, value)
        return Mapping(frame.place, MappingProxyType({**merged, **entries}))

    def _merged(self, value: Node) -> dict[str, Entry]:
        """Return what a merge key brings in; of several mappings, the first that has a key."""
        merged: dict[str, Entry] = {}
        for source in value.items if isinstance(value, Sequence) else (value,):
            if isinstance(source, Mapping):
                self._count(len(source.entries), value.place)
                merged = {**source.entries, **merged}
            else:
                self._slip(source.place, "<< merges a mapping; write an alias such as <<: *name")
        return merged

    def _count(self, nodes: int, place: Place) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise _EndError(Slip(place, (), f"more than {MAX_NODES} values; split this file"))

    def _slip(self, place: Place, message: str, key: Scalar | None = None) -> None:
        last = () if key is None else (key.text,)
        self._slips.append(Slip(place, (*self._steps(), *last), message))

    def _steps(self) -> Steps:
        return tuple(frame.step() for frame in self._frames)


def _scalar(event: Any) -> Scalar:
    tag = event.tag or ""
    if tag == "!":
        # The non-specific tag: text, whatever it looks like.
        return Scalar(_place(event.start_mark), event.value, is_plain=False)
    return Scalar(_place(event.start_mark), event.value, event.style in {None, ""}, tag)
