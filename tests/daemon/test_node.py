"""A whole node, as a process: it steers, it follows what happens to it, it leaves nothing."""

from __future__ import annotations

import json
import signal

import pytest

from tests.daemon.lone import PATIENCE, LoneNode
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
