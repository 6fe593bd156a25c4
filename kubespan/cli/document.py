"""Plain data as JSON and as YAML, indented by four, as talosctl writes them.

PyYAML is imported where YAML is asked for: it takes longer than everything else a command needs.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Final

TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")

INDENT: Final = 4


def to_json(document: Any) -> str:
    """Return an indented document with its newline, keys in ascending order."""
    return json.dumps(document, indent=INDENT, sort_keys=True, ensure_ascii=False) + "\n"


def to_yaml(document: Any) -> str:
    """Return a document with its newline, keys as they come."""
    yaml, dumper = _yaml()
    text: str = yaml.dump(
        document,
        Dumper=dumper,
        indent=INDENT,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=float("inf"),
    )
    return text


@cache
def _yaml() -> tuple[Any, Any]:
    import yaml  # noqa: PLC0415  only for YAML

    class Dumper(yaml.SafeDumper):
        """Writes what Go's yaml.v3 would: lists are indented, odd texts in double quotes."""

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
            before = self.indent
            super().increase_indent(flow, indentless=False)
            if before is not None and not flow:
                behind_dash, next_stop = before + 2, (before // INDENT + 1) * INDENT
                self.indent = behind_dash if self.sequence_context else next_stop

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
            return True

    def represent_text(dumper: Any, text: str) -> Any:
        if TIME.fullmatch(text):
            return dumper.represent_scalar("tag:yaml.org,2002:timestamp", text)
        tag = "tag:yaml.org,2002:str"
        means = dumper.resolve(yaml.ScalarNode, text, (True, False))
        # In other quotes PyYAML would fold what it takes for the end of a line.
        is_plain = means == tag and text.isprintable()
        return dumper.represent_scalar(tag, text, style=None if is_plain else '"')

    Dumper.add_representer(str, represent_text)
    return yaml, Dumper
