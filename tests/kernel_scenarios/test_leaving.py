"""Nothing is left when interfaces and namespaces are gone.

The kernel test swaps two interfaces and deletes both namespaces, which must free both. Here each
daemon lives in the namespace it was started in and thereby keeps it, so one of the two must be told
to leave. That frees its namespace, the other's interface with it, and so the other.
"""

from __future__ import annotations

import signal
import socket

import pytest

from tests.netns.lab import Laboratory, eventually
from tests.netns.namespace import run
from tests.netns.topology import LEFT_PORT, RIGHT_PORT, Pair
from tests.peers import Program

pytestmark = pytest.mark.netns


def test_deleting_the_links_ends_everything(pair: Pair) -> None:
    pair.up()
    pair.ping()
    for tunnel in (pair.left, pair.right):
        tunnel.delete()
        eventually(f"{tunnel.name} leaves", tunnel.is_gone, 1)
    for port in (LEFT_PORT, RIGHT_PORT):
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with pair.outside.socket(family, socket.SOCK_DGRAM) as free:
                free.bind((address, port))


def test_deleting_the_namespace_an_interface_is_in_ends_its_daemon(
    lab: Laboratory, program: Program
) -> None:
    born, home = lab.namespaces("born", "home")
    tunnel = lab.tunnel(program, born).start()
    tunnel.move(home)
    tunnel.set_key()
    tunnel.up()
    run("ip", "netns", "delete", home.name)
    eventually(f"{tunnel.name} leaves", tunnel.is_gone, 2)


def test_interfaces_swapped_between_deleted_namespaces(lab: Laboratory, program: Program) -> None:
    one, two = lab.namespaces("one", "two")
    swapped = [lab.tunnel(program, one).start(), lab.tunnel(program, two).start()]
    for tunnel, home in zip(swapped, (two, one), strict=True):
        tunnel.move(home)
        tunnel.set_key()
        tunnel.up()
    run("ip", "netns", "delete", one.name)
    run("ip", "netns", "delete", two.name)
    for tunnel in swapped:
        assert tunnel.shown("private-key") == tunnel.keys.private
    swapped[0].signal(signal.SIGTERM)
    for tunnel in swapped:
        eventually(f"{tunnel.name} leaves", tunnel.is_gone, 2)
