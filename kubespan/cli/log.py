"""The log of a program that runs on: one line an event on standard error, as `key=value`.

`KUBESPAN_LOG` says how much: debug, info (the default), warning or error.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger

from kubespan.model.errors import ConfigError

VARIABLE: Final = "KUBESPAN_LOG"
LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def log_level(environment: Mapping[str, str]) -> int:
    """Return the level that the environment asks for. Raises ConfigError."""
    text = environment.get(VARIABLE) or "info"
    if text not in LEVELS:
        raise ConfigError(f"{VARIABLE}={text!r} is no level; write {', '.join(LEVELS)}")
    return LEVELS[text]


class _Patient:
    """A file to which what cannot be written is not: a full disk must not end a program."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()


def create_log(level: int, file: TextIO | None = None) -> FilteringBoundLogger:
    """Return a log that writes to standard error, or to the file."""
    lazy = structlog.wrap_logger(
        structlog.WriteLogger(cast("TextIO", _Patient(file or sys.stderr))),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(
                key_order=["time", "level", "event"], bool_as_flag=False
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    # What it stands for, or every line that is not written would assemble it anew.
    log: FilteringBoundLogger = lazy.bind()
    return log
