"""A section: the mapping at one place of a document, as a model of what may stand in it.

Models say shapes only: which keys there are, and whether text, a yes or no, a number or a list is
wanted. What the values must be is said where they are turned into what they mean.
"""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from inspect import isclass
from typing import Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from kubespan.config.mistake import Steps, looks_like_a_key
from kubespan.config.scalar import read_entries
from kubespan.config.tree import Mapping, View, without

LONGEST_LIST = 12
"""Keys that a message lists, where none is close to what was written."""

AnySection = TypeVar("AnySection", bound="Section")


class Section(BaseModel):
    """What may stand at one place. Keys are the fields' names in camel case."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    elsewhere: ClassVar[frozenset[str]] = frozenset()
    """Keys that Talos knows here and that mean nothing to us."""

    @model_validator(mode="before")
    @classmethod
    def _take_node(cls, value: Any) -> Any:
        # A dict is our own: a section that is made because there is none.
        return value if isinstance(value, dict) else read_entries(value) or {}

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """Return the keys that mean something to us."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())


def read_section(model: type[AnySection], view: View) -> tuple[AnySection, View]:
    """Return a section without what is wrong in it, and the view of what is left; say what is.

    What is wrong has the same value as what is not there.
    """
    try:
        return model.model_validate(view.node), view
    except ValidationError as error:
        view = _leave_out(model, view, error)
    return model.model_validate(view.node), view


def _leave_out(model: type[Section], view: View, error: ValidationError) -> View:
    for one in error.errors():
        steps: Steps = one["loc"]
        if one["type"] == "extra_forbidden":
            _judge_key(_owner(model, steps[:-1]), view, steps)
        else:
            view.at(*steps).mistake(one["msg"])
    ways = [tuple(one["loc"]) for one in error.errors()]
    return replace(view, node=Mapping(view.node.place) if () in ways else without(view.node, ways))


def _owner(model: type[Section], steps: Steps) -> type[Section]:
    """Return the section whose keys are at the end of the way."""
    for step in steps:
        if isinstance(step, str):
            (field,) = (f for n, f in model.model_fields.items() if (f.alias or n) == step)
            model = _inner(field.annotation) or model
    return model


def _inner(annotation: Any) -> type[Section] | None:
    if isclass(annotation) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_inner, get_args(annotation))), None)


def _judge_key(owner: type[Section], view: View, steps: Steps) -> None:
    """Say of a key that it is ignored, or that nobody knows it."""
    key = str(steps[-1])
    parent = view.at(*steps[:-1]).node
    place = parent.entries[key].place if isinstance(parent, Mapping) else parent.place
    if key in owner.elsewhere:
        view.findings.add_ignored(place, (*view.steps, *steps))
    else:
        message = f"there is no such key here; {advise(key, owner.keys(), owner.elsewhere)}"
        view.findings.add_mistake(place, (*view.steps, *steps), message)


def advise(name: str, ours: tuple[str, ...], others: frozenset[str] = frozenset()) -> str:
    """Return what to write instead of a name that nobody knows."""
    close = get_close_matches(name, (*ours, *sorted(others)), 1, 0.7)
    if close and not looks_like_a_key(name):
        return f"did you mean {close[0]}?"
    if len(ours) <= LONGEST_LIST and not others:
        return f"write one of {', '.join(ours)}"
    return "remove it"
