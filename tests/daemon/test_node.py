"""A whole node, as a process: it steers, it follows what happens to it, it leaves nothing."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import signal
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from errno import EPERM
from functools import partial
from pathlib import Path

import pytest

from kubespan.cli.log import create_log
from kubespan.config.read import load_config
from kubespan.daemon import node as nodes
from kubespan.daemon.announcing import Announcing
from kubespan.daemon.discovering import Discovering
from kubespan.daemon.node import MeshNode
from kubespan.daemon.steersman import Unsteered
from kubespan.daemon.window import NodeWindow
from kubespan.device.clock import Clock
from kubespan.linux.report import Failure, Report
from kubespan.model.cluster import ClusterSecret
from kubespan.model.errors import InternalError
from kubespan.model.ipset import IPSet
from kubespan.model.keys import PublicKey
from kubespan.model.plan import InterfaceConfig, NetworkPlan
from kubespan.model.resources import PeerReading
from tests.daemon.lone import CONFIG, PATIENCE, SECRET, LoneNode
from tests.netns.lab import eventually

pytestmark = pytest.mark.netns


def statuses(lone: LoneNode) -> list[dict[str, str]]:
    return [one["spec"] for one in lone.client.resources("kubespanpeerstatuses")["items"]]


def test_a_static_peer_is_all_it_takes(lone: LoneNode) -> None:
    lone.start()
    (peer,) = statuses(lone)
    assert (peer["label"], peer["state"]) == ("gateway", "unknown")
    assert peer["lastUsedEndpoint"] == "192.0.2.9:51820"
    table = lone.namespace.run("nft", "list", "table", "inet", "kubespan")
    assert "198.51.100.0/24" in table
    assert "table 180" in lone.namespace.ip("rule", "show") or "lookup 180" in lone.namespace.ip(
        "rule", "show"
    )


def test_it_leaves_nothing_behind(lone: LoneNode) -> None:
    lone.start()
    assert lone.leftovers() != []
    assert lone.process is not None
    lone.process.send_signal(signal.SIGTERM)
    assert lone.process.wait(PATIENCE) == 0
    assert lone.leftovers() == []
    assert not lone.socket.exists()


def test_an_interface_that_somebody_deletes_is_made_anew(lone: LoneNode) -> None:
    lone.start()
    before = json.loads(lone.namespace.ip("-j", "link", "show", "kubespan"))[0]["ifindex"]
    lone.namespace.ip("link", "delete", "kubespan")

    def is_back() -> bool:
        links = json.loads(lone.namespace.ip("-j", "-d", "link", "show"))
        found = [link for link in links if link.get("ifname") == "kubespan"]
        routes = lone.namespace.ip("route", "show", "table", "180")
        is_up = bool(found) and "UP" in found[0]["flags"] and found[0]["ifindex"] != before
        return is_up and "dev kubespan" in routes

    eventually("another interface", is_back, PATIENCE)


def test_an_interface_that_cannot_be_made_anew_is_no_peaceful_end(lone: LoneNode) -> None:
    lone.start()
    before = len(lone.namespace.ip("rule", "show", "priority", "32500"))
    assert lone.process is not None
    lone.process.send_signal(signal.SIGSTOP)
    lone.namespace.ip("link", "delete", "kubespan")
    lone.namespace.ip("tuntap", "add", "kubespan", "mode", "tap")
    lone.process.send_signal(signal.SIGCONT)
    assert lone.process.wait(PATIENCE) == 2
    # Packets for members are still refused.
    assert len(lone.namespace.ip("rule", "show", "priority", "32500")) == before
    assert "unreachable" in lone.namespace.ip("route", "show", "table", "180")


def test_a_link_that_takes_the_interfaces_name_gets_nothing(lone: LoneNode) -> None:
    lone.start()
    lone.namespace.ip("link", "set", "kubespan", "name", "mesh0")
    lone.namespace.ip("link", "add", "kubespan", "type", "veth", "peer", "name", "tap0")

    def is_named() -> bool:
        found = [one for one in lone.status()["problems"] if one["code"] == "KS-STEERING"]
        return any("a link named kubespan" in one["text"] for one in found)

    eventually("it is named", is_named, PATIENCE)
    assert "inet" not in lone.namespace.ip("address", "show", "dev", "kubespan")
    (route,) = json.loads(lone.namespace.ip("-j", "route", "show", "table", "180", "metric", "1"))
    assert route["dev"] == "mesh0"
    assert lone.process is not None
    lone.process.send_signal(signal.SIGTERM)
    assert lone.process.wait(PATIENCE) == 0
    assert "kubespan" in lone.namespace.ip("link", "show", "type", "veth")


def test_a_second_node_is_refused(lone: LoneNode) -> None:
    lone.start()
    refused = lone.run("up")
    assert refused.returncode == 2
    assert "kubespan down" in refused.stderr
    assert lone.is_started()


def test_a_host_that_moves_announces_itself_anew(lone: LoneNode) -> None:
    lone.start()
    lone.namespace.ip("address", "add", "192.0.2.77/24", "dev", "eth0")

    def knows() -> bool:
        own = lone.client.resources("affiliates")["items"]
        return any("192.0.2.77" in one["spec"]["addresses"] for one in own)

    eventually("the new address", knows, PATIENCE)


IN_THE_WAY = ("throw", "default", "table", "180", "metric", "27507")
"""A route where ours is to refuse, which lets packets out in clear."""


def test_it_is_not_ready_while_packets_may_go_out_in_clear(lone: LoneNode) -> None:
    lone.namespace.ip("route", "add", *IN_THE_WAY)
    lone.launch()

    def is_named() -> bool:
        found = lone.status()["problems"] if lone.answers() else ()
        return any("in table 180 that refuses: File exists" in one["text"] for one in found)

    eventually("it is named", is_named, PATIENCE)
    time.sleep(0.5)  # it has looked again since
    assert not lone.is_started()
    lone.namespace.ip("route", "del", *IN_THE_WAY)
    eventually("the mesh is steered", lone.is_started, PATIENCE)


class Stub:
    """Whatever is asked of it is done, and nothing is."""

    def __init__(self) -> None:
        self.removals: list[bool] = []
        self.ended: list[str] = []
        self.report, self.has_plan, self.is_steering, self.mtu = Report(), True, True, 1420
        self.is_there = True
        self.steered = IPSet()
        self.hear: Callable[[bool], object] = lambda _: None

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        self.is_there = False
        self.ended.append("plane")

    async def watch(self) -> None:
        await asyncio.Event().wait()

    async def rest(self) -> None:
        self.ended.append("steering anew")

    async def stop(self, *, remove: bool) -> None:
        self.removals.append(remove)
        self.ended.append("steering")


def heard_by(stub: Stub, hear: Callable[[bool], object]) -> Stub:
    stub.hear = hear
    return stub


def run_with(
    stub: Stub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    patience: float | None = None,
    ready: Callable[[MeshNode], object] = lambda _: None,
) -> None:
    """Run a node that has this in place of its interface and its steersman."""
    config = replace(load_config(CONFIG.encode(), "x").config, state_directory=str(tmp_path))
    announcing = Announcing(config, ClusterSecret.from_base64(SECRET))

    async def scenario() -> None:
        log = create_log(logging.ERROR, io.StringIO())
        monkeypatch.setattr(nodes, "require_nft", stub.open)
        monkeypatch.setattr(nodes, "DataPlane", lambda *_: stub)
        monkeypatch.setattr(nodes, "Steersman", lambda _, __, hear: heard_by(stub, hear))
        monkeypatch.setattr(nodes, "UnderlayMonitor", lambda *_: Underlay())
        node = MeshNode(config, config, announcing, log, tmp_path)
        await node.run(partial(ready, node), patience)

    class Underlay:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *_: None

    asyncio.run(scenario())


def test_a_node_that_breaks_lets_nothing_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Stub):
        async def watch(self) -> None:
            raise InternalError("steering has ended")

    stub = Broken()
    with pytest.raises(InternalError, match="steering has ended"):
        run_with(stub, tmp_path, monkeypatch)
    assert stub.removals == [False]
    # Who is heard to the end is answered in clear once nothing is steered.
    assert stub.ended == ["steering anew", "plane", "steering"]


@pytest.mark.parametrize("is_there", [False, True])
def test_what_breaks_at_the_end_lets_nothing_out_and_skips_no_farewell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    class Broken(Stub):
        async def close(self) -> None:
            await super().close()
            self.is_there = is_there
            raise InternalError("a thread does not end")

    async def farewell(_: Discovering) -> None:
        await asyncio.sleep(0.05)
        stub.ended.append("farewell")

    stub = Broken()
    monkeypatch.setattr(Discovering, "stop", farewell)
    with pytest.raises(InternalError, match="a thread does not end"):
        run_with(stub, tmp_path, monkeypatch, ready=MeshNode.leave)
    # Whoever is still heard would be answered in clear.
    assert stub.removals == [not is_there]
    assert stub.ended == ["steering anew", "plane", "steering", "farewell"]


def test_a_peer_is_let_in_as_soon_as_it_is_steered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Steering(Stub):
        """Steers after a while, and ends when it is configured with what waited for that."""

        def __init__(self) -> None:
            super().__init__()
            self.given: list[tuple[str, ...]] = []
            self.is_done = asyncio.Event()

        async def watch(self) -> None:
            await asyncio.wait_for(self.is_done.wait(), PATIENCE)
            raise InternalError("it has seen enough")

        def follow(self, plan: NetworkPlan) -> None:
            asyncio.get_running_loop().call_later(0.05, self.bring, plan)

        def bring(self, plan: NetworkPlan) -> None:
            self.steered = IPSet.of(*plan.steered)
            self.hear(True)

        def configure(self, interface: InterfaceConfig) -> None:
            (peer,) = interface.peers
            self.given.append(tuple(map(str, peer.allowed_ips)))
            if peer.allowed_ips:
                self.is_done.set()

    # The node does not rest until then.
    monkeypatch.setattr(nodes, "LOOK_INTERVAL", 2 * PATIENCE)
    stub = Steering()
    with pytest.raises(InternalError, match="it has seen enough"):
        run_with(stub, tmp_path, monkeypatch)
    assert stub.given == [(), ("198.51.100.0/24",)]


def test_discovery_keeps_whoever_waits_to_be_steered_and_the_window_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Called(Stub):
        """Every peer has called, and nothing is steered."""

        def __init__(self) -> None:
            super().__init__()
            self.keys: tuple[PublicKey, ...] = ()
            self.has_looked = asyncio.Event()
            self.windows: list[NodeWindow] = []

        def open_window(self, node: MeshNode) -> None:
            self.windows.append(NodeWindow(node, create_log(logging.ERROR, io.StringIO())))

        async def watch(self) -> None:
            await asyncio.wait_for(self.has_looked.wait(), PATIENCE)
            assert self.windows[0].facts().held_back == set(self.keys)
            raise InternalError("it has seen enough")

        def configure(self, interface: InterfaceConfig) -> None:
            self.keys = tuple(peer.public_key for peer in interface.peers)
            asyncio.get_running_loop().call_later(0.05, self.hear, True)

        def readings(self) -> dict[PublicKey, PeerReading]:
            return {key: PeerReading(None, Clock().now().boot) for key in self.keys}

        def keep(self, ids: AbstractSet[str]) -> None:
            if ids:
                self.has_looked.set()

    stub = Called()
    monkeypatch.setattr(Discovering, "set_live", lambda _, ids: stub.keep(ids))
    with pytest.raises(InternalError, match="it has seen enough"):
        run_with(stub, tmp_path, monkeypatch, ready=stub.open_window)


def test_a_plan_that_was_brought_and_steers_no_more_ends_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Steering(Stub):
        """Brings a plan a few times, then lets one rest pass."""

        def __init__(self) -> None:
            super().__init__()
            self.looks = 0

        async def watch(self) -> None:
            for _ in range(5):
                await asyncio.sleep(0.02)
                self.hear(False)
            rested, self.looks = self.looks, 0
            await asyncio.sleep(1.5)
            assert rested == 1
            assert self.looks
            raise InternalError("it has seen enough")

        def configure(self, _: InterfaceConfig) -> None:
            self.looks += 1

    monkeypatch.setattr(nodes, "LOOK_INTERVAL", 1.0)
    with pytest.raises(InternalError, match="it has seen enough"):
        run_with(Steering(), tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("leaks", "said"),
    [
        ((Failure("add rule", EPERM, "not permitted"),), "add rule: not permitted"),
        ((), "the system has not answered"),
    ],
)
def test_a_node_that_is_not_steered_in_time_says_why(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    leaks: tuple[Failure, ...],
    said: str,
) -> None:
    stub = Stub()
    stub.is_steering, stub.report = False, Report(leaks=leaks)
    with pytest.raises(Unsteered, match=said):
        run_with(stub, tmp_path, monkeypatch, patience=0.1)
    assert stub.removals == [False]
