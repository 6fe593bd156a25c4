"""Small YAML files as Talos writes them: one mapping of names to text, without any nesting.

Text in, text out. A file that says more, or less, than it should is refused: it is not ours, or a
part of it is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import yaml

from kubespan.model.errors import ConfigError


class _TalosDumper(yaml.SafeDumper):
    """Writes text as Go's YAML library does."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Left to itself, PyYAML writes nothing as '' where Go writes "".
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text else '"')


_TalosDumper.add_representer(str, _represent_text)


def build_document(fields: Mapping[str, str]) -> str:
    """Write fields, a line each, in their order."""
    return yaml.dump(dict(fields), Dumper=_TalosDumper, sort_keys=False)


def parse_document(
    text: str, required: Collection[str], optional: Collection[str] = ()
) -> dict[str, str]:
    """Read all fields, in any order. Raises ConfigError; none of the text is in its message."""
    words = _scalars(text)
    fields = dict(zip(words[::2], words[1::2], strict=True))
    if 2 * len(fields) != len(words):
        raise ConfigError("it has one field twice")
    if not fields.keys() <= {*required, *optional}:
        raise ConfigError(f"it has more fields than {', '.join((*optional, *required))}")
    for name in required:
        if name not in fields:
            raise ConfigError(f"it has no field {name!r}")
    return fields


def _scalars(text: str) -> list[str]:
    """Return keys and values of a document that is one flat mapping, as they are written.

    Read as events, not as values: whatever may look like a number or a date stays the text that it
    is, and no depth of nesting is ever followed.
    """
    try:
        events = list(yaml.parse(text, Loader=yaml.BaseLoader))
    except (yaml.YAMLError, ValueError, OverflowError):  # the last two are about wild escapes
        raise _not_flat() from None
    body = events[3:-3]
    words = [event.value for event in body if isinstance(event, yaml.ScalarEvent)]
    is_mapping = len(events) >= 6 and isinstance(events[2], yaml.MappingStartEvent)
    if not is_mapping or len(words) != len(body):
        raise _not_flat()
    return words


def _not_flat() -> ConfigError:
    return ConfigError("it is torn or not one of ours: no YAML list of names with one text each")
