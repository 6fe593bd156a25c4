"""The second act: a mesh of four nodes in two networks, one of them behind a NAT.

One network namespace for each host, one for the hub between them, which also serves discovery, and
one for the router with the NAT.
"""

from __future__ import annotations

import json
import re
import time
from functools import partial
from itertools import permutations
from pathlib import Path

from tools.demo_scene import HUB, KUBESPAN, SERVICE, URL, Node, Program, Scene, listens, until
from tools.demo_stage import FailedError, inside, run, tell

ROUTER = "router"
NETWORKS = {"left": "192.0.2", "right": "198.51.100"}
TRANSFER_PORT = 5201
SIZE = "16M"
PINGS = 3

NAT = """
table ip nat {
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname "wan" masquerade
    }
    chain input {
        type filter hook input priority filter
        iifname "wan" ct state new drop
    }
}
"""

COUNTING = """
table netdev seen {
    counter sealed { }
    counter discovery { }
    counter clear { }
    chain ports {
        type filter hook ingress devices = { north, east, south, router } priority 0
        udp sport 51820 counter name sealed accept
        tcp dport 3000 counter name discovery accept
        icmp type destination-unreachable accept
        ip daddr != 224.0.0.0/4 counter name clear
        ip6 saddr != fe80::/10 ip6 daddr != ff00::/8 counter name clear
    }
}
"""


def play(directory: Path) -> None:
    """Tell the whole act."""
    with Scene(directory) as scene:
        lay_networks(scene)
        configure(scene)
        introduce(scene)
        tell("service", f"listens after {scene.start_service():.2f} s")
        come_up(scene)
        show(scene)
        talk(scene)
        outlive_discovery(scene)
        say_goodbye(scene)
        clean_up(scene)


# ------------------------------------------------------------------------------------ the hosts


def lay_networks(scene: Scene) -> None:
    """Make the hub with a switch for each network, and every host at its own."""
    for host in (HUB, ROUTER, *(node.name for node in scene.nodes)):
        run("ip", "netns", "add", host)
        run("ip", "-n", host, "link", "set", "lo", "up")
    for network, prefix in NETWORKS.items():
        run("ip", "-n", HUB, "link", "add", network, "type", "bridge")
        run("ip", "-n", HUB, "address", "add", f"{prefix}.254/24", "dev", network)
        run("ip", "-n", HUB, "link", "set", network, "up")
    *others, home = scene.nodes
    for node in others:
        attach(node.name, "eth0", node.address)
    attach(ROUTER, "wan", "198.51.100.2")
    cable(ROUTER, "lan", home.name, "eth0")
    run("ip", "-n", ROUTER, "address", "add", "10.0.0.1/24", "dev", "lan")
    run("ip", "-n", home.name, "address", "add", f"{home.address}/24", "dev", "eth0")
    run("ip", "-n", home.name, "route", "add", "default", "via", "10.0.0.1")
    for host in (HUB, ROUTER):
        run(*inside(host, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1"))
    run(*inside(ROUTER, "nft", "-f", "-"), stdin=NAT)
    run(*inside(HUB, "nft", "-f", "-"), stdin=COUNTING)


def attach(host: str, link: str, address: str) -> None:
    """Put a host at the network that its address is of."""
    prefix = address.rpartition(".")[0]
    network = next(name for name, one in NETWORKS.items() if one == prefix)
    cable(host, link, HUB, host)
    run("ip", "-n", HUB, "link", "set", host, "master", network)
    run("ip", "-n", host, "address", "add", f"{address}/24", "dev", link)
    run("ip", "-n", host, "route", "add", "default", "via", f"{prefix}.254")


def cable(one: str, link: str, other: str, other_link: str) -> None:
    """Connect two hosts, both ends up."""
    ends = (link, "netns", one, "type", "veth", "peer", "name", other_link, "netns", other)
    run("ip", "link", "add", *ends)
    run("ip", "-n", one, "link", "set", link, "up")
    run("ip", "-n", other, "link", "set", other_link, "up")


def configure(scene: Scene) -> None:
    """Make one cluster, and for each node its own copy with a name."""
    words = ("gen", "config", "--with-kubespan", "--discovery", URL, "-o", str(scene.cluster))
    run(*KUBESPAN, *words)
    for node in scene.nodes:
        node.configure(scene.cluster.read_text())


def introduce(scene: Scene) -> None:
    """Say who takes part."""
    print("\nFour hosts in two networks that know of each other only their cluster's secret:\n")
    print(f"  {HUB:<8}kubespan discovery serve, at {SERVICE}; routes between both networks")
    for node in scene.nodes:
        print(f"  {node.name:<8}kubespan up, {node.where}")
    print()


# ------------------------------------------------------------------------------------ the story


def come_up(scene: Scene) -> None:
    """Start all nodes at once, and tell what each sees, until everybody is up for everybody."""
    began = time.monotonic()
    for node in scene.nodes:
        node.program.start()
    up: set[tuple[str, str]] = set()
    pairs = set(permutations((node.name for node in scene.nodes), 2))
    for seen in scene.sightings(scene.nodes):
        pair = (seen.viewer, seen.name)
        if seen.state == "up" and pair not in up:
            up.add(pair)
            where = f"{seen.name:<7}up at {seen.endpoint:<20}after {seen.at - began:.2f} s"
            tell(f"{seen.viewer} sees", where)
        if up == pairs:
            break
    took = time.monotonic() - began
    tell("a full mesh", f"{len(up)} of {len(pairs)} directions, {took:.2f} s after the start")


def show(scene: Scene) -> None:
    """Print what the commands of an operator print."""
    north, *_, home = scene.nodes
    for node, words in (
        (north, ("get", "kubespanpeerstatuses")),
        (home, ("status",)),
        (north, ("ping", "-n", "1", home.name)),
    ):
        print(f"\n  {node.name} $ kubespan {' '.join(words)}")
        for line in node.run(*words).splitlines():
            print(f"  {line}".rstrip())
    print()


def talk(scene: Scene) -> None:
    """Ping and transfer between all pairs, and count what the hub saw of it."""
    pairs = list(permutations(scene.nodes, 2))
    for family in ("IPv4", "IPv6"):
        averages = [ping(near, address_of(far, family)) for near, far in pairs]
        average = sum(averages) / len(averages)
        what = f"all {len(pairs)} pairs, every one of {PINGS * len(pairs)} answered"
        tell(f"ping, {family}", f"{what}, {average:.2f} ms on average")
    serve_transfers(scene)
    speeds = [transfer(near, far) for near, far in pairs]
    slowest, fastest = min(speeds) / 1e9, max(speeds) / 1e9
    tell("TCP", f"all {len(pairs)} pairs, {SIZE}B each, {slowest:.2f} to {fastest:.2f} Gbit/s")
    seen = counted()
    tell("on the wire", f"{seen['sealed']} datagrams of WireGuard, {seen['discovery']} packets to")
    tell("", f"discovery, {seen['clear']} packets in clear")
    if seen["clear"]:
        raise FailedError(f"{seen['clear']} packets between nodes were in clear")


def address_of(node: Node, family: str) -> str:
    """Return the address of a node's card, which the mesh carries too, or of the mesh itself."""
    return node.address if family == "IPv4" else node.mesh_address


def ping(near: Node, address: str) -> float:
    """Return the average round trip in milliseconds; every ping is answered."""
    options = ("-n", "-q", "-W", "2", "-c", str(PINGS), "-i", "0.02")
    said = run(*inside(near.name, "ping", *options, address))
    average = re.search(rf"{PINGS} received.*= [\d.]+/([\d.]+)/", said, re.DOTALL)
    if average is None:
        raise FailedError(f"{near.name} could not ping {address}: {said.strip()}")
    return float(average[1])


def serve_transfers(scene: Scene) -> None:
    """Start a server of transfers on every node; they listen when this returns."""
    for node in scene.nodes:
        log = node.directory / f"{node.name}-iperf3.log"
        server = Program(node.name, ("iperf3", "-s", "-B", node.address), log)
        scene.servers.append(server)
        server.start()
    for node in scene.nodes:
        until(f"iperf3 on {node.name} listens", partial(listens, node.name, TRANSFER_PORT))


def transfer(near: Node, far: Node) -> float:
    """Send over TCP; return the bits a second that arrived."""
    client = ("iperf3", "-J", "-c", far.address, "-n", SIZE)
    report = json.loads(run(*inside(near.name, *client)))
    return float(report["end"]["sum_received"]["bits_per_second"])


def counted() -> dict[str, int]:
    """Return how many packets the hub has seen come in, by what they were."""
    listed = json.loads(run(*inside(HUB, "nft", "-j", "list", "counters")))["nftables"]
    counters = (entry["counter"] for entry in listed if "counter" in entry)
    return {counter["name"]: int(counter["packets"]) for counter in counters}


def outlive_discovery(scene: Scene) -> None:
    """Kill the service; tunnels stay, and a node that is started anew finds them all the same."""
    north, east, *_, home = scene.nodes
    scene.service.kill()
    average = ping(north, home.mesh_address)
    tell("service killed", f"with -9; {north.name} and {home.name} do not mind: {average:.2f} ms")
    east.program.leave()
    began = time.monotonic()
    east.program.start()
    until(f"{east.name} is back", east.status)
    east.run("wait", "--peers", str(len(scene.nodes) - 1), "--timeout", "1m")
    took = time.monotonic() - began
    tell(f"{east.name} restarted", f"without discovery; all its peers are up after {took:.2f} s")
    scene.start_service()
    until("everybody has registered again", lambda: all(map(is_heard, scene.nodes)))


def is_heard(node: Node) -> bool:
    """Whether discovery talks with a node."""
    return all(service["connected"] for service in node.status()["discovery"])


def say_goodbye(scene: Scene) -> None:
    """Let one node leave cleanly, and tell when the others knew."""
    *others, leaver = scene.nodes
    began = time.monotonic()
    leaver.run("down")
    tell(f"{leaver.name} leaves", f"`kubespan down` took {time.monotonic() - began:.2f} s")
    until("all others know", lambda: all(leaver.name not in names(node) for node in others))
    took = time.monotonic() - began
    tell("", f"{', '.join(node.name for node in others)} know it after {took:.2f} s")
    leaver.program.wait()
    if left := leftovers(leaver):
        raise FailedError(f"{leaver.name} left behind: {left}")


def names(node: Node) -> set[str]:
    """Return the names of a node's peers."""
    return {peer["label"] for peer in node.status()["peers"]}


def leftovers(node: Node) -> str:
    """Return what there is of a mesh on a host: link, rules and tables."""
    asked = (
        ("ip", "-o", "link", "show", "type", "tun"),
        ("ip", "rule", "show", "priority", "32500"),
        ("ip", "-6", "rule", "show", "priority", "32500"),
        ("nft", "list", "tables"),
    )
    return "".join(run(*inside(node.name, *words)) for words in asked).strip()


def clean_up(scene: Scene) -> None:
    """End everything as an operator would, delete every host, and look for leftovers."""
    for node in scene.nodes[:-1]:
        node.program.leave()
        if left := leftovers(node):
            raise FailedError(f"{node.name} left behind: {left}")
    scene.service.leave()
    for server in scene.servers:
        server.kill()
    for host in (HUB, ROUTER, *(node.name for node in scene.nodes)):
        run("ip", "netns", "delete", host)
    if left_behind := [*Path("/run/netns").glob("*")]:
        raise FailedError(f"left behind: {left_behind}")
    tell("ended", "all programs when asked to; nothing is left behind")
