"""Steering with real packets: into the mesh, never in clear, whenever the process dies."""

from __future__ import annotations

import os
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import pytest

from kubespan.linux.apply import Applier, remove_leftovers
from kubespan.linux.tun import Tun, create_tun
from tests.linux.steered import by_name, quiet_log, run_in, steering
from tests.netns.capture import Capture, Packet
from tests.netns.namespace import Namespace, run
from tests.netns.steering_nursery import PLANS
from tests.peers import REPOSITORY, need

pytestmark = pytest.mark.netns
WAIT = 10.0
MEMBERS = ("10.0.2.5", "2001:db8:77::5", "fd00:0:0:2::9")
STRANGERS = ("10.0.3.5", "2001:db8:78::5")
PORT = 9


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


@dataclass(frozen=True, slots=True)
class Host:
    """A host with an uplink that leads everywhere, and a neighbour on it."""

    here: Namespace
    there: Namespace

    def cable(self) -> None:
        far = ("peer", "name", "wire", "netns", self.there.name)
        self.here.ip("link", "add", "name", "wire", "type", "veth", *far)
        for end, number in ((self.here, 1), (self.there, 2)):
            end.ip("link", "set", "wire", "up")
            end.address("wire", f"192.0.2.{number}/24", f"2001:db8::{number}/64")
        self.here.ip("route", "add", "default", "via", "192.0.2.2")
        self.here.ip("-6", "route", "add", "default", "via", "2001:db8::2")

    def send(self, address: str, mark: int = 0) -> bool:
        """Send a datagram; False if the system refused at once."""
        with self.here.socket(family(address), socket.SOCK_DGRAM) as sender:
            if mark:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            try:
                sender.sendto(b"secret", (address, PORT))
            except OSError:
                return False
        return True

    def steer(self) -> None:
        """Apply the plan, and die."""

        async def main() -> None:
            applier = Applier(quiet_log()[0], by_name)
            applier.start()
            report = await applier.apply(PLANS["a"])
            await applier.stop()
            assert (report.failures, report.findings) == ((), ())

        run_in(self.here, main)

    def clean(self) -> None:
        """Take back what the dead left."""

        async def main() -> None:
            await remove_leftovers(quiet_log()[0])

        run_in(self.here, main)


@pytest.fixture
def host() -> Iterator[Host]:
    need("nft")
    made = Host(Namespace("h"), Namespace("w"))
    try:
        made.cable()
        yield made
    finally:
        made.here.close()
        made.there.close()


@pytest.fixture
def tun(host: Host) -> Iterator[Tun]:
    made = host.here.inside(partial(create_tun, "kubespan"))
    yield made
    with suppress(OSError):
        os.close(made.descriptor)


def read(tun: Tun, destination: str) -> Packet:
    """Return the next packet to a destination that goes into the mesh."""
    until = time.monotonic() + WAIT
    while select.select([tun.descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
        packet = Packet.parse(tun.read(), 0.0)
        if packet and packet.destination == destination:
            return packet
    pytest.fail(f"nothing for {destination} went into the mesh")


def seen(capture: Capture) -> set[str]:
    """Return the destinations of the datagrams to our port that have left in clear."""
    return {d.packet.destination for d in capture.datagrams() if d.destination_port == PORT}


def send_to_strangers(host: Host, capture: Capture) -> None:
    """Send what has to be seen, and wait for it: then all that was sent before is seen as well."""
    for address in STRANGERS:
        assert host.send(address)
    until = time.monotonic() + WAIT
    while not set(STRANGERS) <= seen(capture):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_packets_for_members_go_into_the_mesh_and_never_out_in_clear(host: Host, tun: Tun) -> None:
    host.steer()
    host.here.ip("neigh", "add", "192.0.2.2", "lladdr", "02:00:00:00:00:02", "dev", "wire")
    host.here.ip("neigh", "add", "2001:db8::2", "lladdr", "02:00:00:00:00:02", "dev", "wire")
    with Capture(host.here, "wire") as capture:
        for address in MEMBERS:
            assert host.send(address)
            assert read(tun, address).body.endswith(b"secret")
        send_to_strangers(host, capture)
        # With the process dies its interface: what is meant for members is refused.
        os.close(tun.descriptor)
        assert not any(host.send(address) for address in MEMBERS)
        send_to_strangers(host, capture)
        assert seen(capture) == set(STRANGERS)
        host.clean()
        assert all(host.send(address) for address in MEMBERS)
        send_to_strangers(host, capture)
        assert seen(capture) == {*STRANGERS, *MEMBERS}


def test_wireguards_own_datagrams_pass(host: Host, tun: Tun) -> None:
    host.steer()
    host.here.ip("neigh", "add", "192.0.2.2", "lladdr", "02:00:00:00:00:02", "dev", "wire")
    with Capture(host.here, "wire") as capture:
        assert host.send(MEMBERS[0], mark=0x20)
        send_mark_to = "10.0.3.5"
        assert host.send(send_mark_to, mark=0x8)
        until = time.monotonic() + WAIT
        while seen(capture) != {MEMBERS[0], send_mark_to}:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_forwarded_packets_are_steered_too(host: Host, tun: Tun) -> None:
    host.steer()
    for key in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        host.here.sysctl(f"net/{key}", 1)
    for address, via in ((MEMBERS[0], "192.0.2.1"), (MEMBERS[1], "2001:db8::1")):
        host.there.ip("route", "add", address, "via", via)
        with host.there.socket(family(address), socket.SOCK_DGRAM) as sender:
            sender.sendto(b"secret", (address, PORT))
        assert read(tun, address).body.endswith(b"secret")


@pytest.mark.parametrize(("address", "size"), [(MEMBERS[0], 1368), (MEMBERS[1], 1348)])
def test_segments_are_clamped(host: Host, tun: Tun, address: str, size: int) -> None:
    host.steer()
    with host.here.socket(family(address), socket.SOCK_STREAM) as caller:
        caller.setblocking(False)
        with suppress(BlockingIOError):
            caller.connect((address, PORT))
        options = read(tun, address).body[20:]
    kind, length, announced = struct.unpack(">BBH", options[:4])
    assert (kind, length, announced) == (2, 4, size)


# ------------------------------------------------------------------------ killed at any moment

ROUNDS = 30
LATEST_KILL = 0.08
"""Seconds; applying takes about half as long on a machine that has nothing else to do."""


class Nursery:
    """A process in the host's namespace whose child applies plans, and can be killed."""

    def __init__(self, host: Host) -> None:
        self._home = host.here.name
        here = ("ip", "netns", "exec", self._home)
        self._process = subprocess.Popen(
            (*here, sys.executable, "-m", "tests.netns.steering_nursery"),
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, plan: str) -> None:
        """Have a child begin to apply a plan."""
        self._tell(plan)
        self._hear("begun")

    def kill(self) -> None:
        """Kill the child, and wait until it is gone, with its interface and any nft."""
        self._tell("kill")
        self._hear("killed")
        until = time.monotonic() + WAIT
        while run("ip", "netns", "pids", self._home).split() != [str(self._process.pid)]:
            assert time.monotonic() < until
            time.sleep(0.005)

    def finish(self, plan: str) -> None:
        """Have a child apply a plan to the end, and stay."""
        self.begin(plan)
        self._hear("applied")

    def close(self) -> None:
        """End it; it has no child any more."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(WAIT) == 0
        self._process.stdout.close()

    def _tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def _hear(self, word: str) -> None:
        assert self._process.stdout is not None
        while (line := self._process.stdout.readline().strip()) != word:
            assert line
            assert not line.startswith("failed"), line


@pytest.fixture
def nursery(host: Host) -> Iterator[Nursery]:
    made = Nursery(host)
    yield made
    made.close()


def references(host: Host, nursery: Nursery) -> dict[str, dict[str, Any]]:
    """Return what a host looks like with each plan applied undisturbed."""
    found = {}
    for plan in PLANS:
        nursery.finish(plan)
        found[plan] = steering(host.here)
        nursery.kill()
        host.clean()
    return found


def test_killed_while_it_first_applies(host: Host, nursery: Nursery) -> None:
    clean, chance = steering(host.here), random.Random(7)
    wanted = references(host, nursery)
    for _ in range(ROUNDS):
        nursery.begin("a")
        time.sleep(chance.uniform(0, LATEST_KILL))
        nursery.kill()
        left = steering(host.here)
        if "kubespan" in left["nftables"]:
            # What is marked is led to where it is refused.
            assert not any(host.send(address) for address in MEMBERS)
        if chance.random() < 0.5:
            plan = chance.choice("abc")
            nursery.finish(plan)
            assert steering(host.here) == wanted[plan]
            nursery.kill()
        host.clean()
        assert steering(host.here) == clean


def test_killed_while_another_plan_takes_the_place(host: Host, nursery: Nursery) -> None:
    chance, wanted = random.Random(8), references(host, nursery)
    nursery.finish("a")
    with Capture(host.here, "wire") as capture, Sender(host) as sender:
        for number in range(ROUNDS):
            nursery.kill()
            nursery.begin("ba"[number % 2])
            time.sleep(chance.uniform(0, LATEST_KILL))
            nursery.kill()
            plan = chance.choice("ab")
            nursery.finish(plan)
            assert steering(host.here) == wanted[plan]
        assert sender.count > ROUNDS
        send_to_strangers(host, capture)
        assert seen(capture) == set(STRANGERS)
    nursery.kill()


class Sender:
    """Sends to members without a pause while other things happen."""

    def __init__(self, host: Host) -> None:
        self.count = 0
        self._host = host
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._send, name="sender")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _send(self) -> None:
        while not self._stopped.wait(0.001):
            for address in MEMBERS:
                self._host.send(address)
            self.count += 1
