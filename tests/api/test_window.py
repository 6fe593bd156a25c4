"""Every question, asked through a real socket."""

from __future__ import annotations

import threading
from ipaddress import ip_address
from typing import Any

import pytest

import kubespan
from kubespan.api import asking
from kubespan.api.node import Echo
from kubespan.api.refusal import Reason, Refused
from kubespan.mesh.reconciler import Facts
from kubespan.model.address import Endpoint
from kubespan.store.kind import AFFILIATES, KINDS, MERGED_AFFILIATES
from tests.api.nodes import CONFIG, IDENTITY, FakeNode, key
from tests.api.windows import PATIENCE, served
from tests.netns.lab import eventually

NOBODY = 4711


def refused(caught: pytest.ExceptionInfo[Refused]) -> tuple[Reason, str]:
    return caught.value.reason, str(caught.value)


def test_version_and_kinds() -> None:
    with served() as one:
        assert one.client.version() == kubespan.__version__
        kinds = one.client.kinds()
        assert [kind["type"] for kind in kinds] == [kind.name for kind in KINDS]
        assert kinds[1] == {
            "type": "KubeSpanIdentities.kubespan.talos.dev",
            "singular": "KubeSpanIdentity",
            "namespace": "kubespan",
            "aliases": ["ksi", "ksis"],
            "sensitive": True,
            "columns": [["ADDRESS", "address"], ["PUBLICKEY", "publicKey"]],
        }


def test_lists_and_single_resources() -> None:
    with served() as one:
        found = one.client.resources("affiliates")
        assert found["node"] == str(IDENTITY.address)
        assert found["kind"]["singular"] == "Affiliate"
        assert [item["metadata"]["id"] for item in found["items"]] == [
            "29QQTc97U5ZyFTIX33Dp9NqtwxqQI8QI13scCLzffrZ",
            "node-0001",
            "node-0002",
            "node-0003",
        ]
        (item,) = one.client.resources("kubespanpeerstatuses", key(2).base64())["items"]
        assert item["spec"]["label"] == "worker-2"
        raw = one.client.resources("affiliate", "service/node-0001", "cluster-raw")
        assert raw["items"][0]["metadata"]["namespace"] == "cluster-raw"
        assert one.client.resources("members", namespace="elsewhere")["items"] == []


@pytest.mark.parametrize(
    ("kind", "id_", "reason", "text"),
    [
        ("ksps", "", Reason.WRONG, "ambiguous"),
        ("a/b?c", "", Reason.WRONG, "there is no resource type 'a/b\\?c'"),
        ("members", "x", Reason.CONDITION, "there is no resource Members"),
    ],
)
def test_what_is_not_there(kind: str, id_: str, reason: Reason, text: str) -> None:
    with served() as one:
        with pytest.raises(Refused, match=text) as caught:
            one.client.resources(kind, id_)
        assert caught.value.reason is reason


def test_secrets_are_for_some() -> None:
    with served() as one:
        (hidden,) = one.client.resources("ksi")["items"]
        assert hidden["spec"]["privateKey"] == "(hidden)"
        (open_,) = one.client.resources("ksi", secrets=True)["items"]
        assert open_["spec"]["privateKey"] == IDENTITY.private_key.base64()


def test_others_may_look_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_user", lambda _: NOBODY)
    with served() as one:
        assert one.client.status()["schema"] == 1
        for forbidden in (
            lambda: one.client.resources("ksi", secrets=True),
            lambda: next(one.client.watch("ksi", secrets=True)),
            lambda: one.client.apply(b"x"),
            one.client.stop,
        ):
            with pytest.raises(Refused, match="only root or the user who runs") as caught:
                forbidden()
            assert caught.value.reason is Reason.NOT_PERMITTED
        assert (one.node.applied, one.node.has_stopped) == ([], False)


def test_watching() -> None:
    with served(FakeNode(peers=1)) as one:
        lines = one.client.watch("kubespanpeerstatuses")
        assert next(lines)["kind"]["singular"] == "KubeSpanPeerStatus"
        told = [next(lines) for _ in range(3)]
        assert [line["event"] for line in told] == ["anew", "created", "bootstrapped"]
        one.do(lambda: one.node.look(one.node.boot + 1))
        changed = next(lines)
        assert (changed["event"], changed["item"]["metadata"]["version"]) == ("updated", 3)
        lines.close()


def test_watching_what_is_not_there_yet() -> None:
    with served() as one:
        lines = one.client.watch("affiliates", "new")
        assert [next(lines)["event"] for _ in range(2)] if next(lines) else []
        one.do(
            lambda: one.node.store.publish(MERGED_AFFILIATES, {"new": one.node.affiliates[0]}, 0)
        )
        assert next(lines)["item"]["metadata"]["id"] == "new"
        lines.close()


def test_watchers_that_leave_are_forgotten() -> None:
    with served() as one:
        lines = one.client.watch("affiliates")
        next(lines)
        lines.close()

        shelf = one.node.store._shelves["cluster", AFFILIATES]
        eventually("the watcher is forgotten", lambda: not shelf.watches, PATIENCE)


def test_watchers_are_told_when_the_node_leaves() -> None:
    seen: list[Any] = []
    with served() as one:
        lines = one.client.watch("members")
        seen += [next(lines) for _ in range(6)]
    with pytest.raises(Refused) as caught:
        next(lines)
    assert caught.value.reason is Reason.NOT_RUNNING


def test_status() -> None:
    with served() as one:
        report = one.client.status()
        assert [peer["label"] for peer in report["peers"]] == ["worker-1", "worker-2", "worker-3"]
        assert [problem["peer"] for problem in report["problems"]] == ["worker-3"]


def test_waiting_is_over_at_once_if_it_holds() -> None:
    with served() as one:
        assert one.client.wait(2) == 2
        assert one.client.wait(0, timeout=5.0) == 2
        assert one.client.wait(2, timeout=0.0) == 2


def test_waiting_takes_until_it_holds() -> None:
    node = FakeNode(peers=3)
    nobody = node.reconciler.reconcile(CONFIG, Facts(), node.boot)
    node.publication.publish_outcome(nobody, 0)
    with served(node) as one:
        found: list[int] = []
        thread = threading.Thread(target=lambda: found.append(one.client.wait(2, PATIENCE)))
        thread.start()
        one.do(lambda: node.look(node.boot))
        thread.join()
        assert found == [2]


def test_waiting_has_an_end() -> None:
    with served() as one:
        with pytest.raises(Refused) as caught:
            one.client.wait(3, timeout=0.01)
        assert refused(caught) == (Reason.TIMED_OUT, "2 of 3 peers are up after 0.01 s")
        with pytest.raises(Refused, match="2 of 3 peers are up after 0 s"):
            one.client.wait(3, timeout=0.0)


def test_echoes() -> None:
    with served() as one:
        one.node.echo = Echo(ip_address("fd50::1"), Endpoint.parse("192.0.2.1:51820"), 0.018)
        assert one.client.ping("worker-1", 2.0) == {
            "label": "worker-1",
            "address": "fd50::1",
            "endpoint": "192.0.2.1:51820",
            "rtt": 0.018,
        }
        one.node.echo = Echo(ip_address("fd50::1"), None, 0.018)
        assert one.client.ping("worker-1", 1000.0)["endpoint"] is None
        assert one.node.pinged == [(key(1), 2.0), (key(1), 60.0)]
        one.node.echo = None
        with pytest.raises(Refused) as caught:
            one.client.ping("worker-1", 2.0)
        assert refused(caught) == (Reason.TIMED_OUT, "no echo from worker-1 in 2 s")
        with pytest.raises(Refused, match="there is no peer 'nobody'"):
            one.client.ping("nobody", 2.0)


def test_a_configuration_is_handed_on() -> None:
    with served() as one:
        assert one.client.apply(b"text") == {"changed": ["mtu"]}
        one.client.apply(b"other", dry_run=True)
        assert one.node.applied == [(b"text", False), (b"other", True)]
        with pytest.raises(Refused) as caught:
            one.client.apply(b"wrong")
        assert refused(caught) == (Reason.WRONG, "line 1: wrong; write something else")


def test_the_node_is_stopped() -> None:
    with served() as one:
        one.client.stop()
        assert one.node.has_stopped
