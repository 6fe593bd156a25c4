"""kubespan: the command line. Reads words and calls a command, which is imported only then.

Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 the condition does not hold,
2 wrong usage or configuration, 3 not running, 4 not permitted, 5 timed out, 70 a bug of ours.
"""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click

import kubespan
from kubespan.config.mistake import ConfigMistakes
from kubespan.model.errors import ConfigError, KubespanError, SystemFault

USAGE, NOT_PERMITTED, INTERRUPTED, BUG = 2, 4, 130, 70
"""Exit codes that are decided here."""


@dataclass(frozen=True, slots=True)
class Lazy:
    """A command that is imported when it is asked for, and until then only listed."""

    place: str
    """`module:attribute`."""

    summary: str
    """What a list of commands says about it."""

    def load(self) -> click.Command:
        """Return the command itself."""
        module, _, attribute = self.place.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


COMMANDS = {
    "apply": Lazy("kubespan.cli.apply:apply", "Change the running node's configuration at once."),
    "config": Lazy("kubespan.cli.config:config", "Look at a configuration."),
    "discovery": Lazy("kubespan.cli.discovery:discovery", "Serve discovery, and look into it."),
    "down": Lazy("kubespan.cli.down:down", "Leave the mesh."),
    "gen": Lazy("kubespan.cli.gen:gen", "Make what a new cluster needs."),
    "get": Lazy("kubespan.cli.get:get", "Show resources of the running node."),
    "ping": Lazy("kubespan.cli.ping:ping", "Ask a peer for an echo."),
    "status": Lazy("kubespan.cli.status:status", "Say how it stands with the running node."),
    "up": Lazy("kubespan.cli.up:up", "Become a node of the mesh."),
    "wait": Lazy("kubespan.cli.wait:wait", "Wait until peers are up."),
}
"""Command by name."""


class LazyGroup(click.Group):
    """A group whose commands are imported only when they are asked for, not to be listed."""

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*super().list_commands(ctx), *self.lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name, None if there is none."""
        lazy = self.lazy.get(cmd_name)
        return super().get_command(ctx, cmd_name) if lazy is None else lazy.load()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, self._summary(ctx, name)) for name in self.list_commands(ctx)]
            )

    def _summary(self, ctx: click.Context, name: str) -> str:
        if name in self.lazy:
            return self.lazy[name].summary
        command = self.get_command(ctx, name)
        return "" if command is None else command.get_short_help_str()


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
        return INTERRUPTED
    except ConfigMistakes as error:
        # Whole lines, in the form that editors take places from.
        click.echo(str(error), err=True)
        return USAGE
    except KubespanError as error:
        click.echo(f"kubespan: {error}", err=True)
        return exit_code(error)
    except Exception:  # noqa: BLE001  whatever it is, it was not meant to happen
        click.echo(f"{traceback.format_exc()}kubespan: this is a bug of ours", err=True)
        return BUG
    return code if isinstance(code, int) else 0


def exit_code(error: KubespanError) -> int:
    """Return what a failure means to a script."""
    match error:
        case ConfigError():
            return USAGE
        case SystemFault(errno=errno.EPERM | errno.EACCES):
            return NOT_PERMITTED
        case SystemFault():
            return 1
        case _:
            return BUG


if __name__ == "__main__":
    sys.exit(main())
