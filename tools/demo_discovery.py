"""The second act: a discovery service, and hosts that find each other by it.

One network namespace for the service and one for each host, all at one switch.
"""

from __future__ import annotations

import base64
import ipaddress
import shutil
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from tools.demo_scene import HUB, KUBESPAN, SERVICE, URL, Member, Scene
from tools.demo_stage import FailedError, inside, run, tell


def play(directory: Path) -> None:
    """Tell the whole act."""
    with Scene(directory, ("north", "south", "west")) as scene:
        lay_network(scene.members)
        configure(scene)
        introduce(scene.members)
        open_service(scene)
        find_each_other(scene)
        look_inside(scene)
        say_goodbye(scene)
        survive(scene)
        clean_up(scene)


def lay_network(members: Iterable[Member]) -> None:
    """Make a host for the service, with a switch in it, and every member at that switch."""
    run("ip", "netns", "add", HUB)
    run("ip", "-n", HUB, "link", "add", "switch", "type", "bridge")
    run("ip", "-n", HUB, "address", "add", f"{SERVICE}/24", "dev", "switch")
    for link in ("lo", "switch"):
        run("ip", "-n", HUB, "link", "set", link, "up")
    for member in members:
        run("ip", "netns", "add", member.name)
        ends = ("eth0", "netns", member.name, "type", "veth", "peer", "name", member.name)
        run("ip", "link", "add", *ends, "netns", HUB)
        run("ip", "-n", HUB, "link", "set", member.name, "master", "switch", "up")
        run("ip", "-n", member.name, "address", "add", f"{member.address}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            run("ip", "-n", member.name, "link", "set", link, "up")


def configure(scene: Scene) -> None:
    """Make one cluster, and for each member its own copy with a name."""
    words = ("gen", "config", "--with-kubespan", "--discovery", URL, "-o", str(scene.cluster))
    run(*KUBESPAN, *words)
    for member in scene.members:
        file = scene.cluster.with_name(f"{member.name}.yaml")
        file.touch(mode=0o600)
        file.write_text(f"{scene.cluster.read_text()}hostname: {member.name}\n")


def introduce(members: Iterable[Member]) -> None:
    """Say who takes part."""
    print("\nA discovery service, and hosts that know of each other only their cluster's secret:\n")
    print(f"  {HUB:<8}kubespan discovery serve, at {SERVICE} on a switch")
    for member in members:
        print(f"  {member.name:<8}kubespan discovery watch --announce, at {member.address}")
    print()


def open_service(scene: Scene) -> None:
    """Start the service, and say how it answers."""
    ready = scene.start_service()
    tell("service", f"listens after {ready:.2f} s; from {scene.members[0].name} it is pinged so:")
    print(f"\n  $ kubespan discovery ping {URL}")
    for line in run(
        *inside(scene.members[0].name, *KUBESPAN, "discovery", "ping", URL)
    ).splitlines():
        print(f"  {line}")
    print()


def find_each_other(scene: Scene) -> None:
    """Start all members at once, and tell whom each sees, until all see all."""
    began = time.monotonic()
    for member in scene.members:
        scene.start(member)
    everyone = {member.name for member in scene.members}
    for seen in scene.sightings():
        mesh, ends = seen.spec["kubespan"]["address"], ", ".join(seen.spec["kubespan"]["endpoints"])
        mark = "+" if seen.event == "created" else " "
        what = f"{mark} {seen.hostname:<7}{mesh.removesuffix('/128')} at {ends}"
        tell(f"{seen.viewer} sees", f"{what} after {seen.at - began:.2f} s")
        if all(member.knows == everyone - {member.name} for member in scene.members):
            break
    took = time.monotonic() - began
    tell("found each other", f"all of them, {took:.2f} s after three programs were started")


def look_inside(scene: Scene) -> None:
    """Show what the service holds, and that none of what its members told is to be found in it."""
    copy = shutil.copytree(scene.state, scene.state.with_name("copy"))
    held = b"".join(file.read_bytes() for file in copy.iterdir())
    with closing(sqlite3.connect(copy / "discovery.sqlite3")) as state:
        records = state.execute("SELECT affiliate_id, data FROM affiliates").fetchall()
    for number, (node_id, data) in enumerate(records):
        title = "the service holds" if number == 0 else ""
        tell(title, f"{node_id[:8]}…  {len(data)} bytes  {data[:16].hex(' ')} …")
    told = [word for spec in scene.specs.values() for word in _secrets(spec)]
    if found := [word for word in told if word in held]:
        raise FailedError(f"the service can read {found}")
    tell("", f"none of {len(told)} names, addresses and keys is to be found in {len(held)} bytes")


def _secrets(spec: dict[str, Any]) -> list[bytes]:
    """Return what only members may read, as it is written and as it would be stored."""
    key, address = spec["kubespan"]["publicKey"], spec["kubespan"]["address"]
    packed = ipaddress.ip_address(address).packed
    texts = (spec["hostname"], key, address, *spec["addresses"])
    return [*(text.encode() for text in texts), base64.b64decode(key), packed]


def say_goodbye(scene: Scene) -> None:
    """Let one member leave cleanly, and tell when the others knew."""
    *others, leaver = scene.members
    began = time.monotonic()
    leaver.has_left = True
    leaver.program.leave()
    gone: dict[str, float] = {}
    for seen in scene.sightings():
        if seen.event == "destroyed":
            gone[seen.viewer] = seen.at - began
        if len(gone) == len(others):
            break
    told = " and ".join(f"{wait * 1e3:.0f} ms at {viewer}" for viewer, wait in gone.items())
    tell(f"{leaver.name} leaves", f"gone after {told}")


def survive(scene: Scene) -> None:
    """Kill the service, start it again, and see whom a newcomer finds there."""
    scene.service.kill()
    scene.start_service()
    began = time.monotonic()
    found = scene.newcomer()
    expected = {member.name for member in scene.members[:-1]}
    if found != expected:
        raise FailedError(f"after the service was killed a newcomer finds {found}, not {expected}")
    tell("service killed", "with -9 and started again; whoever comes finds")
    tell("", f"{' and '.join(sorted(found))} there after {time.monotonic() - began:.2f} s")


def clean_up(scene: Scene) -> None:
    """End everything as an operator would, delete every host, and look for leftovers."""
    for member in scene.members[:-1]:
        member.program.leave()
    scene.service.leave()
    for host in (HUB, *(member.name for member in scene.members)):
        run("ip", "netns", "delete", host)
    if leftovers := [*Path("/run/netns").glob("*")]:
        raise FailedError(f"left behind: {leftovers}")
    tell("ended", "all programs when asked to; nothing is left behind")
