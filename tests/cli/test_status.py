"""`kubespan status`: the page for people, to the letter, and what scripts ask of it."""

from __future__ import annotations

import copy
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import click
import pytest
import yaml

from kubespan.cli.main import main
from kubespan.cli.status import describe
from tests.api.nodes import FakeNode
from tests.api.windows import served

PAGE = """\
mesh   prod-eu   up 3m   fd50:8d60:4238:6302::/64   data plane native (avx512), 2 lanes, offloads on
self   laptop-ana   fd50:…:d1e0   udp 51820   public 198.51.100.9   mtu 1420 (underlying 1500 on eth0)
disc   discovery.example:443   connected   3 affiliates   last update 4 s ago

PEER       ADDRESS    STATE   ENDPOINT           HANDSHAKE   RTT     RX/TX
worker-1   fd50:…:1   up      172.20.0.3:51820   38 s        18 ms   15 MB / 18 MB
worker-2   fd50:…:2   up      172.20.0.4:51820   38 s        -       15 MB / 18 MB
worker-3   fd50:…:3   down    trying 1           never       -       0 B / 148 B

DROPPED   REASON    MEANING
3         bad_tag   do not open: damaged or forged on the way

! worker-3  KS-NOREPLY  no answer from its only endpoint, 172.20.0.5:51820; it is a private address
            next: unless both are in one network, let it announce an address that is seen from \
outside (extraAnnouncedEndpoints there)
"""  # noqa: E501  a line of the page is a line


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    with served(FakeNode(peers=3)) as one:
        monkeypatch.setenv("KUBESPAN_SOCKET", str(one.path))
        yield one.node


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    with served(FakeNode(peers=3)) as one:
        found: dict[str, Any] = one.client.status()
        return found


def test_the_page(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("status",)) == 0
    assert capsys.readouterr() == (PAGE, "")


def test_documents(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("status", "-o", "json")) == 0
    document = json.loads(capsys.readouterr().out)
    assert main(("status", "-o", "yaml")) == 0
    written = yaml.safe_load(capsys.readouterr().out)
    assert document["schema"] == written["schema"] == 1
    assert document["peers"][2]["state"] == written["peers"][2]["state"] == "down"


@pytest.mark.parametrize(
    ("check", "is_ready", "code", "text"),
    [
        ("live", False, 0, "live"),
        ("ready", True, 0, "ready"),
        ("ready", False, 1, "not ready"),
        ("startup", False, 0, "startup"),
    ],
)
def test_checks(
    node: FakeNode,
    check: str,
    is_ready: bool,
    code: int,
    text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    node.is_ready = is_ready
    assert main(("status", "--check", check)) == code
    assert capsys.readouterr().out == f"{text}\n"


@pytest.mark.parametrize(("output", "between"), [("text", "\n"), ("yaml", "---\n"), ("json", "")])
def test_looking_again(
    node: FakeNode,
    output: str,
    between: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    looks = iter([None])

    def look_again(_: float) -> None:
        if next(looks, "over") == "over":
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", look_again)
    assert main(("status", "-w", "-o", output)) == 130
    text = capsys.readouterr().out
    one = text[: (len(text) - len(between)) // 2]
    assert text == one + between + one


def test_a_terminal_is_cleared(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cleared: list[bool] = []

    def clear() -> None:
        cleared.append(True)
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(click, "clear", clear)
    assert main(("status", "-w")) == 130
    assert cleared == [True]


# ---- the page, for other reports


def changed(report: dict[str, Any], **parts: dict[str, Any]) -> dict[str, Any]:
    one = copy.deepcopy(report)
    for name, part in parts.items():
        one[name] = {**one[name], **part}
    return one


def test_a_node_that_knows_nothing_yet(report: dict[str, Any]) -> None:
    plane = {"implementation": "pure", "aead": "", "lanes": 0, "offloads": False}
    one = changed(
        report,
        mesh={"name": "", "subnet": None, "is_ready": False, "data_plane": plane},
        self={"address": None, "public_addresses": []},
    )
    one |= {"peers": [], "problems": [], "discovery": []}
    assert describe(one) == (
        "mesh   up 3m, not ready yet   data plane pure, offloads off\n"
        "self   laptop-ana   udp 51820   mtu 1420 (underlying 1500 on eth0)\n"
        "\n"
        "PEER   ADDRESS   STATE   ENDPOINT   HANDSHAKE   RTT   RX/TX\n"
    )


QUOTIENTS = {
    "packets_per_tun_read": 43.04,
    "packets_sealed_together": 21.5,
    "segments_per_send": 40.0,
    "segments_per_receive": 12.25,
    "packets_opened_together": 8.0,
    "packets_per_tun_write": 6.1,
}


@pytest.mark.parametrize(
    ("quotients", "loads", "lines"),
    [
        ({}, {"outbound": 0.001, "inbound": 0.0}, []),
        (
            QUOTIENTS,
            {"outbound": 0.004, "inbound": 0.416},
            [
                "out    43.0 packets a TUN read   21.5 sealed together   40.0 segments a send",
                "in     12.2 segments a receive   8.0 opened together   6.1 packets a TUN write",
                "load   outbound 0.4 %   inbound 42 %   since the start",
            ],
        ),
        (
            {"segments_per_receive": 1.0},
            {"both": 0.25},
            ["in     1.0 segments a receive", "load   both directions 25 %   since the start"],
        ),
        ({"segments_per_send": 1.0}, {}, ["out    1.0 segments a send"]),
        (
            {"segments_per_send": 1.0},
            {"side\x1bways": 0.25},
            ["out    1.0 segments a send", r"load   side\x1bways 25 %   since the start"],
        ),
    ],
)
def test_traffic(
    report: dict[str, Any], quotients: dict[str, float], loads: dict[str, float], lines: list[str]
) -> None:
    one = copy.deepcopy(report)
    one["mesh"]["data_plane"].update(quotients=quotients, lane_loads=loads)
    head, *_ = describe(one).split("\n\n")
    assert head.splitlines()[3:] == lines


def test_drops_are_shown_with_their_meaning_and_nothing_without(report: dict[str, Any]) -> None:
    plane = report["mesh"]["data_plane"]
    one = changed(report, mesh={"data_plane": {**plane, "counters": {"drop_bad_tag": 0}}})
    assert "DROPPED" not in describe(one)
    one["mesh"]["data_plane"]["counters"] = {"drop_news": 12, "drop_under_load": 345}
    _, _, drops, _ = describe(one).split("\n\n")
    assert drops.splitlines() == [
        "DROPPED   REASON       MEANING",
        "345       under_load   handshakes in a flood, answered with a cookie: nothing to do",
        "12        news         -",
    ]


@pytest.mark.parametrize(
    ("service", "text"),
    [
        ({"affiliates": 1}, "connected   1 affiliate   last update 4 s ago"),
        (
            {"connected": False, "down_for": 90.0, "failure": "refused", "affiliates": 0},
            "away for 1m (refused)   0 affiliates   last update 4 s ago",
        ),
        (
            {"connected": False, "down_for": 5.0, "failure": "", "update_age": None},
            "away for 5 s   3 affiliates   no update yet",
        ),
    ],
)
def test_discovery(report: dict[str, Any], service: dict[str, Any], text: str) -> None:
    one = copy.deepcopy(report)
    one["discovery"][0].update(service)
    assert describe(one).splitlines()[2] == f"disc   discovery.example:443   {text}"


@pytest.mark.parametrize(
    ("peer", "cells"),
    [
        ({"label": ""}, "AAEAAQAB…   fd50:…:1   up"),
        ({"address": "10.1.2.3"}, "worker-1    10.1.2.3   up"),
        ({"address": None}, "worker-1    -   up"),
        ({"endpoint": None, "endpoints": 2}, "up   trying 2"),
        ({"state": "unknown", "endpoint": None, "endpoints": 0}, "none known"),
        ({"state": "down", "is_held_back": True}, "down answers, not steered yet"),
        ({"state": "unknown", "endpoints": 0}, "unknown   172.20.0.3:51820"),
        ({"receive_bytes": 0, "transmit_bytes": 0}, "18 ms   -"),
        ({"label": "\x1b[2J"}, r"\x1b[2J"),
    ],
)
def test_peers(report: dict[str, Any], peer: dict[str, Any], cells: str) -> None:
    one = copy.deepcopy(report)
    one["peers"] = [{**one["peers"][0], **peer}]
    assert " ".join(cells.split()) in " ".join(describe(one).splitlines()[5].split())


def test_problems_are_not_all_printed(report: dict[str, Any]) -> None:
    one = copy.deepcopy(report)
    warning = {
        "code": "KS-SLOWPATH",
        "severity": "warning",
        "peer": "",
        "text": "slow",
        "next": "do",
    }
    one["problems"] = [warning] * 23
    lines = describe(one).splitlines()
    assert lines[12:14] == ["? this node  KS-SLOWPATH  slow", "             next: do"]
    assert lines[-1] == "and 3 more; `kubespan status -o json` has them all"
    assert len(lines) == 12 + 40 + 1
