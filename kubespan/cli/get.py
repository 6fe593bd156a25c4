"""`kubespan get`: the resources of the running node, as `talosctl get` prints them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import click

from kubespan.api.client import Client
from kubespan.cli.failure import asking
from kubespan.cli.form import Change, create_form

OUTPUTS: Final = ("table", "yaml", "json")


@click.command()
@click.argument("type_", metavar="TYPE")
@click.argument("id_", metavar="[ID]", default="")
@click.option("-o", "--output", type=click.Choice(OUTPUTS), default="table", show_default=True)
@click.option("-w", "--watch", is_flag=True, help="Go on with every change.")
@click.option("--namespace", default="", help="Another namespace than the type's own.")
@click.option("--show-secrets", is_flag=True, help="Print keys; for root and the node's user.")
def get(
    *, type_: str, id_: str, output: str, watch: bool, namespace: str, show_secrets: bool
) -> None:
    """Show resources of the running node.

    TYPE is a name as `talosctl get` takes it, in any case: kubespanidentities (ksi),
    kubespanpeerspecs, kubespanpeerstatuses, kubespanendpoints (kse), kubespanconfigs (ksc),
    discoveryconfigs (dc), affiliates, members, identities, infos.
    """
    client = Client()
    with asking():
        if watch:
            for text in watched(client.watch(type_, id_, namespace, secrets=show_secrets), output):
                click.echo(text, nl=False)
            return
        found = client.resources(type_, id_, namespace, secrets=show_secrets)
        form = create_form(output, found)
        click.echo(form.show(Change(item) for item in found["items"]), nl=False)


def watched(lines: Iterator[dict[str, Any]], output: str) -> Iterator[str]:
    """Yield text for what a node tells: what is there in one block, then change by change."""
    form = create_form(output, next(lines), with_events=True)
    block: list[Change] | None = None
    has_begun = False
    for line in lines:
        event = line["event"]
        if event == "anew":
            if has_begun:
                click.echo("kubespan: too much has changed; this is all there is now", err=True)
            block, has_begun = [], True
        elif event == "bootstrapped":
            yield form.show(block or [])
            block = None
        elif block is not None:
            block.append(Change(line["item"], event))
        else:
            yield form.show([Change(line["item"], event)])
