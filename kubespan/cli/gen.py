"""`kubespan gen`: make what a new cluster needs. The only place where its secret is born."""

from __future__ import annotations

import errno
import os
import secrets

import click

from kubespan.config.fresh import build_config
from kubespan.config.target import PUBLIC_SERVICE, parse_target
from kubespan.model.cluster import SECRET_SIZE
from kubespan.model.errors import ConfigError, SystemFault


@click.group()
def gen() -> None:
    """Make what a new cluster needs."""


@gen.command("config")
@click.option("--with-kubespan", is_flag=True, help="Enable KubeSpan in it.")
@click.option(
    "--discovery",
    "services",
    metavar="URL",
    multiple=True,
    default=(PUBLIC_SERVICE,),
    show_default=True,
    help="A discovery service; can be given several times.",
)
@click.option(
    "-o", "--output", metavar="FILE", help="Write a file that only its owner reads, not stdout."
)
def gen_config(*, with_kubespan: bool, services: tuple[str, ...], output: str | None) -> None:
    """Make a configuration with a new cluster id and secret."""
    for url in services:
        _check(url)
    cluster_id, secret = (secrets.token_bytes(SECRET_SIZE) for _ in range(2))
    text = build_config(cluster_id, secret, services, with_kubespan=with_kubespan)
    if output is None:
        click.echo(text, nl=False)
        return
    write_secret(output, text)
    click.echo(f"kubespan: wrote {output}", err=True)


def write_secret(path: str, text: str) -> None:
    """Write a new file of mode 0600, complete or not at all.

    Raises ConfigError where there is one already, SystemFault if it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ConfigError(
            f"{path} exists and stays as it is: its secret may be in use; choose another name"
        ) from None
    except OSError as error:
        raise SystemFault(f"create {path}", error.errno or errno.EIO) from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            # Whatever the umask took away, it must not be more, nor less, than this.
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
    except OSError as error:
        os.unlink(path)  # noqa: PTH108  the same way as it was made
        raise SystemFault(f"write {path}", error.errno or errno.EIO) from error


def _check(url: str) -> None:
    try:
        parse_target(url)
    except ConfigError as error:
        raise click.BadParameter(str(error), param_hint="--discovery") from None
