"""What a node shows and lets itself be told, through its socket."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kubespan.api.refusal import Reason, Refused
from tests.daemon.lone import CONFIG, PATIENCE, PEER, LoneNode
from tests.netns.lab import eventually

pytestmark = pytest.mark.netns


def test_it_tells_how_it_stands(lone: LoneNode) -> None:
    lone.start()
    status = lone.status()
    assert status["self"]["name"] == "lonely"
    assert [peer["label"] for peer in status["peers"]] == ["gateway"]
    assert status["discovery"] == []
    eventually("it says that nobody answers", lambda: lone.status()["problems"] != [], 30.0)
    assert "KS-NOREPLY" in {problem["code"] for problem in lone.status()["problems"]}


def test_another_configuration_is_taken_over_at_once(lone: LoneNode) -> None:
    lone.start()
    other = CONFIG.replace("198.51.100.0/24", "203.0.113.0/24").encode()
    assert lone.client.apply(other, dry_run=True) == {
        "changed": ["static_peers"],
        "applied": False,
    }
    assert lone.client.apply(other) == {"changed": ["static_peers"], "applied": True}
    assert lone.client.apply(other) == {"changed": [], "applied": False}
    eventually(
        "the other network is steered",
        lambda: "203.0.113.0/24" in lone.namespace.run("nft", "list", "ruleset"),
        30.0,
    )


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("clusterID: a-cluster", "clusterID: b-cluster", "another cluster id"),
        ("enabled: true", "enabled: false", "not enabled"),
        ("hostname: lonely", "hostnam: lonely", "hostnam"),
    ],
)
def test_a_configuration_that_cannot_be_changes_nothing(
    lone: LoneNode, before: str, after: str, said: str
) -> None:
    lone.start()
    with pytest.raises(Refused, match=said) as refused:
        lone.client.apply(CONFIG.replace(before, after).encode())
    assert refused.value.reason is Reason.WRONG
    assert lone.status()["self"]["name"] == "lonely"


def test_a_ping_asks_the_mesh_and_not_the_network(lone: LoneNode) -> None:
    lone.start()
    with pytest.raises(Refused, match="no address in the mesh"):
        lone.client.ping(PEER, 0.2)


def test_what_the_system_refuses_is_a_problem_until_it_does_not(lone: LoneNode) -> None:
    words = (
        "import socket, time; one = socket.socket(type=socket.SOCK_DGRAM);"
        " one.bind(('', 51820)); print(flush=True); time.sleep(100)"
    )
    inside = ("ip", "netns", "exec", lone.namespace.name, sys.executable, "-c", words)
    with subprocess.Popen(inside, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        lone.start()
        eventually("it says that it cannot listen", lambda: refused(lone) != [], PATIENCE)
        assert "port 51820" in refused(lone)[0]
        other.kill()
    # Whatever makes it look again; else it does so after half a minute.
    lone.client.apply(CONFIG.replace("198.51.100.0/24", "203.0.113.0/24").encode())
    eventually("it listens", lambda: refused(lone) == [], PATIENCE)
    assert lone.log.read_text().count("could not be configured") == 1


def refused(lone: LoneNode) -> list[str]:
    problems = lone.status()["problems"]
    return [problem["text"] for problem in problems if problem["code"] == "KS-STEERING"]


def test_it_shows_what_each_source_says(lone: LoneNode) -> None:
    lone.start()
    (raw,) = lone.client.resources("affiliates", namespace="cluster-raw")["items"]
    assert raw["metadata"]["id"] == "static/gateway"
    assert raw["metadata"]["owner"] == "cluster.StaticPeerController"
