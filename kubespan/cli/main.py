"""kubespan: the command line. Reads words and calls a command, which is imported only then.

Exit codes: 0 done, 1 the condition does not hold, 2 wrong usage or configuration, 3 not running,
4 not permitted, 5 timed out, 70 a bug of ours.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import click

import kubespan
from kubespan.model.errors import ConfigError, KubespanError, SystemFault

COMMANDS = {
    "config": "kubespan.cli.config:config",
    "discovery": "kubespan.cli.discovery:discovery",
    "gen": "kubespan.cli.gen:gen",
}
"""Command by name: `module:attribute`, imported when it is asked for."""


class LazyGroup(click.Group):
    """A group whose commands are imported only when they are asked for."""

    def __init__(self, *args: object, lazy: dict[str, str] | None = None, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # click's own arguments
        self._lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*super().list_commands(ctx), *self._lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name, None if there is none."""
        place = self._lazy.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(kubespan.__version__, prog_name="kubespan")
def cli() -> None:
    """KubeSpan without Talos and without a kernel module."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        code = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name="kubespan",
            standalone_mode=False,
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    except KubespanError as error:
        click.echo(f"kubespan: {error}", err=True)
        return exit_code(error)
    return code if isinstance(code, int) else 0


def exit_code(error: KubespanError) -> int:
    """Return what a failure means to a script."""
    match error:
        case ConfigError():
            return 2
        case SystemFault(errno=1 | 13):
            return 4
        case SystemFault():
            return 1
        case _:
            return 70


if __name__ == "__main__":
    sys.exit(main())
