"""Kernel parameters in the way: read, named with what mends them, and proved with packets."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from kubespan.linux.sysctl import accept_answers, sysctl_findings
from kubespan.linux.tun import Tun, create_tun
from kubespan.model.finding import FindingKind
from tests.netns.namespace import Namespace
from tests.wireguard.packets import ipv4

PORT = 5555
OURS, MEMBER = "10.1.0.1", "10.0.2.5"


def write(root: Path, values: dict[str, int]) -> None:
    for path, value in values.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"{value}\n")


@pytest.mark.parametrize(
    ("values", "next_steps"),
    [
        ({}, []),
        ({"all/rp_filter": 0, "kubespan/rp_filter": 0}, []),
        (
            {"all/rp_filter": 0, "kubespan/rp_filter": 2},
            ["sysctl -w net.ipv4.conf.kubespan.rp_filter=0"],
        ),
        (
            {"all/rp_filter": 1, "kubespan/rp_filter": 0},
            ["sysctl -w net.ipv4.conf.all.rp_filter=0"],
        ),
        (
            {"all/rp_filter": 2, "kubespan/rp_filter": 1},
            ["sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.kubespan.rp_filter=0"],
        ),
        ({"eth0/rp_filter": 1}, []),
        ({"eth0/rp_filter": 2, "eth0/src_valid_mark": 1}, []),
        (
            {"eth0/rp_filter": 1, "all/src_valid_mark": 1},
            ["sysctl -w net.ipv4.conf.all.src_valid_mark=0 net.ipv4.conf.eth0.src_valid_mark=0"],
        ),
    ],
)
def test_ipv4(tmp_path: Path, values: dict[str, int], next_steps: list[str]) -> None:
    write(tmp_path, {f"ipv4/conf/{path}": value for path, value in values.items()})
    found = sysctl_findings(["eth0", "kubespan"], parameters=tmp_path)
    assert [finding.next for finding in found] == next_steps
    assert {finding.kind for finding in found} <= {FindingKind.REVERSE_PATH_FILTER}


def test_ipv6(tmp_path: Path) -> None:
    write(tmp_path, {"ipv6/conf/kubespan/disable_ipv6": 1})
    (finding,) = sysctl_findings((), parameters=tmp_path)
    assert finding.kind is FindingKind.IPV6_DISABLED
    assert finding.next == "sysctl -w net.ipv6.conf.kubespan.disable_ipv6=0"


def test_what_is_no_number_counts_for_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"ipv4/conf/all/rp_filter": 0})
    (tmp_path / "ipv4/conf/all/rp_filter").write_text("many\n")
    assert sysctl_findings(("eth0",), parameters=tmp_path) == ()


# -------------------------------------------------------------------------- with a real kernel


@pytest.fixture
def tun(namespace: Namespace) -> Iterator[Tun]:
    """The mesh's link beside a LAN, with the way into the mesh for what is marked."""
    namespace.ip("link", "add", "name", "lan", "type", "veth", "peer", "name", "far")
    for name in ("lan", "far"):
        namespace.ip("link", "set", name, "up")
    namespace.address("lan", f"{OURS}/24")
    namespace.ip("route", "add", "default", "via", "10.1.0.9")
    made = namespace.inside(partial(create_tun, "kubespan"))
    namespace.ip("link", "set", "kubespan", "up")
    namespace.ip("rule", "add", "priority", "32500", "fwmark", "0x40/0x60", "lookup", "180")
    namespace.ip("route", "add", "default", "dev", "kubespan", "table", "180")
    yield made
    os.close(made.descriptor)


def gets_in(namespace: Namespace, tun: Tun) -> bool:
    """Whether a packet of a member's that comes out of the mesh reaches a socket of ours."""
    with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((OURS, PORT))
        tun.write(ipv4(MEMBER, OURS, struct.pack(">HHHH4s", 7, PORT, 12, 0, b"data")))
        receiver.settimeout(0.3)
        try:
            return bool(receiver.recv(100))
        except TimeoutError:
            return False


@pytest.mark.netns
@pytest.mark.parametrize(("of_all", "of_link"), [(0, 0), (1, 0), (0, 1), (0, 2), (2, 1)])
@pytest.mark.parametrize("valid_mark", [0, 1])
def test_what_is_found_is_what_drops(
    namespace: Namespace, tun: Tun, of_all: int, of_link: int, valid_mark: int
) -> None:
    namespace.sysctl("net/ipv4/conf/all/rp_filter", of_all)
    namespace.sysctl("net/ipv4/conf/kubespan/rp_filter", of_link)
    namespace.sysctl("net/ipv4/conf/kubespan/src_valid_mark", valid_mark)
    found = namespace.inside(lambda: sysctl_findings(["lan"]))
    assert gets_in(namespace, tun) is not bool(found)
    for finding in found:
        namespace.run(*finding.next.split())
    assert gets_in(namespace, tun)
    assert namespace.inside(lambda: sysctl_findings(["lan"])) == ()


def test_our_own_link_is_ours_to_set(tmp_path: Path) -> None:
    for name, value in (("all", 0), ("kubespan", 2)):
        place = tmp_path / "ipv4" / "conf" / name
        place.mkdir(parents=True)
        (place / "rp_filter").write_text(str(value))
    assert accept_answers(parameters=tmp_path)
    assert (tmp_path / "ipv4" / "conf" / "kubespan" / "rp_filter").read_text() == "0"
    assert accept_answers(parameters=tmp_path / "nowhere")
