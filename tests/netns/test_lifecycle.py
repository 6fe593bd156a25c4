"""From the start of the program to its end: ready at once, followed anywhere, gone at once.

Most of these tests use the second arrangement of `topology`, or one interface alone.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import statistics
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.netns.capture import Capture
from tests.netns.lab import SOCKETS, Laboratory, Tunnel, eventually
from tests.netns.namespace import unique_name
from tests.netns.topology import LEFT_PORT, RIGHT_PORT, Pair, shared_middle, two_hosts
from tests.peers import Program

pytestmark = pytest.mark.netns

LEAVING = 1.0
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
Note = Callable[[str, str], None]


@pytest.fixture
def alone(lab: Laboratory, program: Program) -> Tunnel:
    """One interface that is not yet started."""
    return lab.tunnel(program, lab.namespace("alone"))


# ---------------------------------------------------------------- starting


def test_ready_when_the_parent_returns(lab: Laboratory, program: Program, measured: Note) -> None:
    """Interface and control socket are there, private to root, and both answer."""
    here = lab.namespace("here")
    tunnels = [lab.tunnel(program, here).start() for _ in range(5)]
    times = sorted(tunnel.started_in for tunnel in tunnels)
    measured("start to ready", f"{statistics.median(times):.3f} s (worst {times[-1]:.3f} s)")
    for tunnel in tunnels:
        link = here.link(tunnel.name)
        assert link["mtu"] == 1420
        assert "UP" not in link["flags"]
        assert tunnel.show("peers") == []
        assert stat.S_IMODE(tunnel.socket_path.stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE(SOCKETS.stat().st_mode) == 0o755


def test_the_version_is_told(program: Program) -> None:
    """`--version` ends well and names the program."""
    done = subprocess.run((program.path, "--version"), capture_output=True, text=True, check=True)
    assert program.name.removesuffix("-x") in done.stdout


def test_a_wrong_number_of_arguments_prints_the_usage(program: Program) -> None:
    """It ends with 0, as scripts expect."""
    done = subprocess.run((program.path,), capture_output=True, text=True, check=True)
    assert "usage" in (done.stdout + done.stderr).lower()


@pytest.mark.parametrize("name", ["a-name-that-is-too-long", "with/slash"])
def test_an_impossible_name_is_refused(program: Program, name: str) -> None:
    """One line that names the interface, exit status 1, nothing left behind."""
    done = subprocess.run((program.path, name), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (done.stdout + done.stderr).strip()
    assert not (SOCKETS / f"{name}.sock").exists()


def test_a_name_in_use_is_refused(alone: Tunnel) -> None:
    """The second start fails with 1 and does not disturb the first."""
    alone.start()
    inode = alone.socket_path.stat().st_ino
    words = ("ip", "netns", "exec", alone.born.name, alone.program.path, alone.name)
    again = subprocess.run(words, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert alone.socket_path.stat().st_ino == inode
    assert alone.answers()
    alone.set("listen-port", "2345")


def test_a_stale_socket_is_replaced(alone: Tunnel) -> None:
    """What a killed daemon left behind does not keep the next one from starting."""
    SOCKETS.mkdir(mode=0o755, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(alone.socket_path))
    alone.start()
    assert alone.answers()


def test_adopting_descriptors(alone: Tunnel) -> None:
    """A daemon given its control socket by `WG_UAPI_FD` uses it, and makes the device itself."""
    SOCKETS.mkdir(mode=0o755, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(alone.socket_path))
        listener.listen()
        process = subprocess.Popen(
            ("ip", "netns", "exec", alone.born.name, alone.program.path, "-f", alone.name),
            env={**os.environ, "WG_UAPI_FD": str(listener.fileno())},
            pass_fds=(listener.fileno(),),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    try:
        eventually("it answers", lambda: alone.ask("get=1\n\n").endswith("errno=0\n\n"))
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(timeout=5) == 0
    assert not alone.socket_path.exists()


def test_adopting_a_device(alone: Tunnel) -> None:
    """A daemon given an open TUN device by `WG_TUN_FD` uses it, in the background too."""
    make = (
        "import os, subprocess, sys; from kubespan.linux.tun import create_tun;"
        " fd = create_tun(sys.argv[2]).descriptor;"
        " subprocess.run(sys.argv[1:], env={**os.environ, 'WG_TUN_FD': str(fd)},"
        " pass_fds=(fd,), check=True)"
    )
    alone.born.run(sys.executable, "-c", make, str(alone.program.path), alone.name)
    assert alone.born.link(alone.name)["mtu"] == 1420
    assert alone.show("peers") == []
    alone.delete()
    eventually("process and socket are gone", alone.is_gone, LEAVING)


# ---------------------------------------------------------------- leaving


def test_deleting_the_interface_ends_the_daemon(alone: Tunnel, measured: Note) -> None:
    """Process and socket are gone within a second."""
    alone.start()
    assert alone.show("peers") == []
    alone.delete()
    took = eventually("process and socket are gone", alone.is_gone, LEAVING)
    measured("leaves after the interface is deleted", f"{took:.3f} s")


def test_deleting_and_starting_at_once_under_the_same_name(hosts: Pair) -> None:
    """Twenty times without a pause; the last one carries pings like the first."""
    left, right = hosts.left, hosts.right
    hosts.up()
    right.namespace.ping(left.inner4)
    for _ in range(20):
        predecessor = left.pid
        left.delete()
        left.start()
        assert left.answers()
        assert left.pid != predecessor
    left.set_key()
    left.set("listen-port", str(LEFT_PORT))
    left.address("10.77.0.1/24", "fd77::1/64")
    there = ("endpoint", "192.0.2.2:1002", "allowed-ips", f"{right.inner4}/32,{right.inner6}/128")
    left.peer(right.keys.public, *there)
    left.up()
    hosts.ping(count=3)


@SIGNALS
def test_a_signal_ends_it_cleanly(alone: Tunnel, number: signal.Signals) -> None:
    """In the background: process, socket and interface are gone within a second."""
    alone.start()
    alone.up()
    assert alone.show("peers") == []
    alone.signal(number)
    eventually("process and socket are gone", alone.is_gone, LEAVING)
    assert alone.name not in alone.namespace.ip("link")


@SIGNALS
def test_a_signal_ends_it_with_0_in_the_foreground(alone: Tunnel, number: signal.Signals) -> None:
    """The same, and the exit status says that all was well."""
    alone.start_in_foreground()
    alone.up()
    alone.signal(number)
    assert alone.exit_status() == 0
    assert alone.is_gone()


def test_deletion_ends_it_with_0_in_the_foreground(alone: Tunnel) -> None:
    """A deleted interface is no failure."""
    alone.start_in_foreground()
    alone.delete()
    assert alone.exit_status() == 0
    assert alone.is_gone()


def test_removing_the_socket_ends_the_daemon(alone: Tunnel) -> None:
    """Nobody could ask it anything any more."""
    alone.start()
    alone.socket_path.unlink()
    eventually("the daemon leaves", lambda: not alone.is_running(), 2)
    assert alone.name not in alone.namespace.ip("link")


def test_a_leaving_daemon_spares_its_successor(lab: Laboratory, program: Program) -> None:
    """The first one's socket is replaced under it; it leaves the second one's alone."""
    here, there = lab.namespaces("here", "there")
    first = lab.tunnel(program, here).start()
    first.socket_path.unlink()
    second = lab.tunnel(program, there, first.name).start()
    eventually("the first one leaves", lambda: not first.is_running(), 2)
    assert second.answers()


def test_the_port_is_free_when_the_daemon_is_gone(hosts: Pair) -> None:
    """Another program can have the UDP port at once, in both families."""
    hosts.up()
    hosts.left.delete()
    eventually("process and socket are gone", hosts.left.is_gone, LEAVING)
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with hosts.left.born.socket(family, socket.SOCK_DGRAM) as other:
            other.bind((address, LEFT_PORT))


def test_deleting_the_namespace_ends_the_daemon(lab: Laboratory, program: Program) -> None:
    """Two interfaces, born elsewhere, have changed places; then both places are deleted."""
    middle, here, there = lab.namespaces("middle", "here", "there")
    one, other = lab.tunnel(program, middle).start(), lab.tunnel(program, middle).start()
    for tunnel, places in ((one, (here, there)), (other, (there, here))):
        for place in places:
            tunnel.move(place)
        tunnel.up()
    here.close()
    there.close()
    for tunnel in (one, other):
        eventually("process and socket are gone", tunnel.is_gone, 2)


# ---------------------------------------------------------------- following the interface


def test_moved_at_once_after_the_start(lab: Laboratory, program: Program) -> None:
    """Ten of ten survive being moved the moment their parent has returned, and are usable there."""
    here, there = lab.namespaces("here", "there")
    for _ in range(10):
        tunnel = lab.tunnel(program, here).start()
        tunnel.move(there)
        tunnel.set_key()
        tunnel.up()
        assert tunnel.is_running()
        assert there.link(tunnel.name)["mtu"] == 1420
        tunnel.delete()
        eventually("process and socket are gone", tunnel.is_gone, LEAVING)


def test_up_and_down_are_noticed_after_two_moves(lab: Laboratory, program: Program) -> None:
    """Down: the port is closed and nothing is sent. Up: the very first ping passes.

    left is born in the middle and moved twice; the capture is in the middle.
    """
    pair = shared_middle(lab, program, program)
    pair.meet("127.0.0.1", "127.0.0.1")
    pair.left.move(lab.namespace("further"))
    pair.left.address("10.77.0.1/24", "fd77::1/64")
    for _ in range(3):
        pair.up()
        pair.left.namespace.ping(pair.right.inner4)
        pair.left.down()
        eventually("the port is closed", lambda: LEFT_PORT not in pair.outside.udp_ports(), 1)
        with Capture(pair.outside, "lo") as capture:
            assert pair.right.namespace.answers(pair.left.inner4) == 0
            assert not [d for d in capture.datagrams() if d.source_port == LEFT_PORT]


def test_down_and_up_again_where_it_was_born(hosts: Pair) -> None:
    """Both ends go down and up, together and in turn; each time the first ping passes."""
    left, right = hosts.left, hosts.right
    hosts.up()
    left.namespace.ping(right.inner4)
    for tunnel, other in ((left, right), (right, left)):
        tunnel.down()
        assert other.namespace.answers(tunnel.inner4) == 0
        tunnel.up()
        tunnel.namespace.ip("-6", "address", "add", f"{tunnel.inner6}/64", "dev", tunnel.name)
        tunnel.namespace.ping(other.inner4)
        tunnel.namespace.ping(other.inner6)


def test_the_interface_may_be_renamed(lab: Laboratory, program: Program) -> None:
    """The control socket keeps its first name, and deleting the interface still ends the daemon."""
    pair = two_hosts(lab, program, program)
    left = pair.left
    renamed = unique_name("r")
    left.namespace.ip("link", "set", left.name, "name", renamed)
    left.namespace.ip("link", "set", renamed, "up")
    pair.right.up()
    eventually("left listens", lambda: LEFT_PORT in left.born.udp_ports())
    eventually("right listens", lambda: RIGHT_PORT in pair.right.born.udp_ports())
    left.namespace.ping(pair.right.inner4)
    left.namespace.ip("link", "delete", renamed)
    eventually("process and socket are gone", left.is_gone, LEAVING)
