"""Affiliates under Talos's names, and what happens to them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from kubespan.cli.affiliate import Chronicle, Event, Shown, document, spec
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.keys import PublicKey
from kubespan.model.resources import Affiliate, ControlPlane, KubeSpanAffiliate, MachineType

KEY = PublicKey(bytes(range(32)))
FULL = Affiliate(
    "a",
    addresses=(ip_address("192.0.2.1"),),
    hostname="host.example",
    nodename="node",
    operating_system="Talos (v1.14.0)",
    machine_type=MachineType.CONTROL_PLANE,
    kubespan=KubeSpanAffiliate(
        KEY,
        ip_address("fd00::1"),
        (Prefix.parse("10.244.1.0/24"),),
        (Endpoint.parse("192.0.2.1:51820"), Endpoint.parse("[2001:db8::1]:51820")),
        (Prefix.parse("192.168.0.0/16"),),
    ),
    control_plane=ControlPlane(6443),
)
BARE = Affiliate("b")


def test_fields_are_talos_s_in_its_order() -> None:
    fields = spec(FULL)
    assert list(fields) == [
        "nodeId",
        "addresses",
        "hostname",
        "nodename",
        "operatingSystem",
        "machineType",
        "kubespan",
        "controlPlane",
    ]
    assert fields["addresses"] == ["192.0.2.1"]
    assert fields["machineType"] == "controlplane"
    assert fields["kubespan"] == {
        "publicKey": KEY.base64(),
        "address": "fd00::1",
        "additionalAddresses": ["10.244.1.0/24"],
        "endpoints": ["192.0.2.1:51820", "[2001:db8::1]:51820"],
        "excludeAdvertisedNetworks": ["192.168.0.0/16"],
    }
    assert fields["controlPlane"] == {"port": 6443}


def test_what_is_not_there_is_not_shown() -> None:
    assert "kubespan" not in spec(BARE)
    assert "controlPlane" not in spec(BARE)
    assert spec(Affiliate("c", kubespan=KubeSpanAffiliate(KEY, None)))["kubespan"]["address"] == ""


def test_chronicle_tells_who_came_changed_and_went() -> None:
    chronicle = Chronicle()
    assert chronicle.follow([BARE, FULL], "t1") == [
        (Event.CREATED, Shown(FULL, 1, "t1", "t1")),
        (Event.CREATED, Shown(BARE, 1, "t1", "t1")),
    ]
    assert chronicle.follow([BARE, FULL], "t2") == []
    renamed = replace(BARE, hostname="renamed")
    assert chronicle.follow([renamed], "t3") == [
        (Event.DESTROYED, Shown(FULL, 1, "t1", "t1")),
        (Event.UPDATED, Shown(renamed, 2, "t1", "t3")),
    ]
    assert chronicle.follow([renamed, FULL], "t4") == [
        (Event.CREATED, Shown(FULL, 1, "t4", "t4")),
    ]


def test_document_has_metadata_and_an_event_if_there_is_one() -> None:
    shown = Shown(BARE, 3, "t1", "t2")
    assert document(shown, Event.UPDATED) == {
        "event": "updated",
        "metadata": {
            "namespace": "cluster",
            "type": "Affiliates.cluster.talos.dev",
            "id": "b",
            "version": 3,
            "phase": "running",
            "created": "t1",
            "updated": "t2",
        },
        "spec": spec(BARE),
    }
    assert "event" not in document(shown, None)
