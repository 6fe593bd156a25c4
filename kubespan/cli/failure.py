"""What a command says and returns when a node does not do what it was asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

import click

from kubespan.api.refusal import Reason, Refused

EXIT_CODES: Final = {
    Reason.CONDITION: 1,
    Reason.WRONG: 2,
    Reason.NOT_RUNNING: 3,
    Reason.NOT_PERMITTED: 4,
    Reason.TIMED_OUT: 5,
    Reason.FAULT: 1,
    Reason.BUG: 70,
}


class Failure(click.ClickException):
    """One line on stderr, and an exit code that says why."""

    def __init__(self, error: Refused) -> None:
        super().__init__(str(error))
        self._reason = error.reason

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # click's is one for all of a class
        """What the process returns."""
        return EXIT_CODES[self._reason]

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line."""
        click.echo(f"kubespan: {self.message}", file=file, err=True)


@contextmanager
def asking() -> Iterator[None]:
    """End a command that asks a node by a line and an exit code if it is refused.

    It ends without a word where nobody reads on what it prints.
    """
    try:
        yield
        sys.stdout.flush()
    except Refused as error:
        raise Failure(error) from error
    except BrokenPipeError:
        # Python would complain once more, when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(0) from None
