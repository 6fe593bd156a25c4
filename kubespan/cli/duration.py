"""Durations as people and Go write them: `60s`, `1m`, `1h30m`, `250ms`."""

from __future__ import annotations

import re
from typing import Final

from kubespan.model.errors import ConfigError

UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

_PART: Final = r"(\d+(?:\.\d+)?)(ms|s|m|h)"


def parse_duration(text: str, option: str) -> float:
    """Return the seconds. Raises ConfigError, which names the option."""
    if re.fullmatch(f"(?:{_PART})+", text, re.ASCII) is None:
        raise ConfigError(f"{option} {text!r} is not a duration; write 60s, 1m or 1h30m")
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(_PART, text, re.ASCII))
