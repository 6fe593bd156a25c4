"""`kubespan status`: one page of truth about the running node."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

import click

from kubespan.api.client import Client
from kubespan.cli.document import to_json, to_yaml
from kubespan.cli.drop import MEANINGS, drops
from kubespan.cli.failure import asking
from kubespan.cli.quantity import duration, round_trip, share, size
from kubespan.cli.table import Table, printable

CHECKS: Final = ("live", "ready", "startup")
OUTPUTS: Final = ("text", "yaml", "json")
LOOK_AGAIN_AFTER: Final = 2.0
"""Seconds between two looks of `-w`."""

MOST_PROBLEMS: Final = 20
"""That are printed for people; programs get all."""

GAP: Final = "   "

TOGETHER: Final = {
    "out": (
        ("packets_per_tun_read", "packets a TUN read"),
        ("packets_sealed_together", "sealed together"),
        ("segments_per_send", "segments a send"),
    ),
    "in": (
        ("segments_per_receive", "segments a receive"),
        ("packets_opened_together", "opened together"),
        ("packets_per_tun_write", "packets a TUN write"),
    ),
}
"""What explains how fast it is, either way, in the order in which packets meet it."""

THREADS: Final = {"outbound": "outbound", "inbound": "inbound", "both": "both directions"}


@click.command()
@click.option("-o", "--output", type=click.Choice(OUTPUTS), default="text", show_default=True)
@click.option("-w", "--watch", is_flag=True, help="Look again, every two seconds.")
@click.option(
    "--check", type=click.Choice(CHECKS), help="Only say whether this holds; exit 1 if not."
)
def status(*, output: str, watch: bool, check: str | None) -> int:
    """Say how it stands with the running node.

    And with its peers, and what is wrong, with a code that docs/problems explains.
    """
    client = Client()
    with asking():
        if check is not None:
            holds = client.holds(check)
            click.echo(check if holds else f"not {check}")
            return 0 if holds else 1
        _print(client.status(), output)
        while watch:
            time.sleep(LOOK_AGAIN_AFTER)
            if sys.stdout.isatty():
                click.clear()
            else:
                click.echo("---" if output == "yaml" else "", nl=output != "json")
            _print(client.status(), output)
    return 0


def _print(report: dict[str, Any], output: str) -> None:
    written = {"text": describe, "yaml": to_yaml, "json": to_json}[output](report)
    click.echo(written, nl=False)


def describe(report: dict[str, Any]) -> str:
    """Return the page for people."""
    plane = report["mesh"]["data_plane"]
    parts = (
        _text([*_head(report), *_traffic(plane)]),
        Table().block(_peers(report["peers"])),
        Table().block(_drops(plane.get("counters", {}))),
        _text(_problems(report["problems"])),
    )
    return "\n".join(filter(None, parts))


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _head(report: dict[str, Any]) -> Iterator[str]:
    mesh, own = report["mesh"], report["self"]
    plane = mesh["data_plane"]
    yield _line(
        "mesh",
        mesh["name"],
        f"up {duration(mesh['uptime'])}{'' if mesh['is_ready'] else ', not ready yet'}",
        mesh["subnet"],
        f"data plane {_data_plane(plane)}",
    )
    public = own["public_addresses"]
    yield _line(
        "self",
        own["name"],
        _short(own["address"]),
        f"udp {own['listen_port']}",
        f"public {', '.join(public)}" if public else "",
        f"mtu {own['mtu']} ({own['mtu_reason']})",
    )
    for service in report["discovery"]:
        yield _service(service)


def _line(*parts: str | None) -> str:
    return GAP.join(printable(part) for part in parts if part)


def _data_plane(plane: dict[str, Any]) -> str:
    aead = f" ({plane['aead']})" if plane["aead"] else ""
    lanes = f", {_counted(plane['lanes'], 'lane')}" if plane["lanes"] else ""
    return (
        f"{plane['implementation']}{aead}{lanes}, offloads {'on' if plane['offloads'] else 'off'}"
    )


def _service(service: dict[str, Any]) -> str:
    if service["connected"]:
        state = "connected"
    else:
        state = f"away for {duration(service['down_for'])}"
        state += f" ({service['failure']})" if service["failure"] else ""
    age = service["update_age"]
    updated = "no update yet" if age is None else f"last update {duration(age)} ago"
    return _line(
        "disc", service["endpoint"], state, _counted(service["affiliates"], "affiliate"), updated
    )


def _traffic(plane: dict[str, Any]) -> Iterator[str]:
    """How packets went together, and how busy the threads were with them; nothing for none."""
    known, loads = plane.get("quotients", {}), plane.get("lane_loads", {})
    for way, named in TOGETHER.items():
        parts = [f"{known[name]:.1f} {text}" for name, text in named if name in known]
        if parts:
            yield _line(way.ljust(4), *parts)
    if known and loads:
        # A newer node may have others.
        threads = (f"{THREADS.get(lane, lane)} {share(load)}" for lane, load in loads.items())
        yield _line("load", *threads, "since the start")


def _drops(counters: dict[str, int | str]) -> list[list[str]]:
    rows = [[str(n), reason, MEANINGS.get(reason, "-")] for n, reason in drops(counters)]
    return [["DROPPED", "REASON", "MEANING"], *rows] if rows else []


def _peers(peers: list[dict[str, Any]]) -> list[list[str]]:
    rows = [["PEER", "ADDRESS", "STATE", "ENDPOINT", "HANDSHAKE", "RTT", "RX/TX"]]
    return [*rows, *map(_peer, peers)]


def _peer(peer: dict[str, Any]) -> list[str]:
    age, rtt = peer["handshake_age"], peer["rtt"]
    received, sent = peer["receive_bytes"], peer["transmit_bytes"]
    return [
        printable(peer["label"]) or f"{peer['public_key'][:8]}…",
        _short(peer["address"]) or "-",
        peer["state"],
        _way(peer),
        "never" if age is None else duration(age),
        "-" if rtt is None else round_trip(rtt),
        f"{size(received)} / {size(sent)}" if received or sent else "-",
    ]


def _way(peer: dict[str, Any]) -> str:
    if peer["state"] == "up" and peer["endpoint"]:
        return str(peer["endpoint"])
    if peer.get("is_held_back"):
        return "answers, not steered yet"
    if not peer["endpoints"]:
        return peer["endpoint"] or "none known"
    return f"trying {peer['endpoints']}"


def _problems(problems: list[dict[str, Any]]) -> Iterator[str]:
    shown = problems[:MOST_PROBLEMS]
    names = [printable(problem["peer"]) or "this node" for problem in shown]
    width = max(map(len, names), default=0)
    for name, problem in zip(names, shown, strict=True):
        sign = "!" if problem["severity"] == "error" else "?"
        yield f"{sign} {name.ljust(width)}  {problem['code']}  {printable(problem['text'])}"
        yield f"  {' ' * width}  next: {printable(problem['next'])}"
    if len(problems) > len(shown):
        yield f"and {len(problems) - len(shown)} more; `kubespan status -o json` has them all"


def _short(address: str | None) -> str:
    """Return an address of the mesh without its middle, which all members share."""
    groups = (address or "").split(":")
    return ":".join([groups[0], "…", groups[-1]]) if len(groups) > 3 else address or ""


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
