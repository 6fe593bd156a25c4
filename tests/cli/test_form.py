"""The three forms of `get`, to the byte, in the shape that the specification gives."""

from __future__ import annotations

from typing import Any

import pytest

from kubespan.cli.form import Change, create_form

HEADING = {
    "node": "172.20.0.2",
    "kind": {
        "singular": "KubeSpanPeerStatus",
        "columns": [
            ["LABEL", "label"],
            ["ENDPOINT", "endpoint"],
            ["STATE", "state"],
            ["RX", "receiveBytes"],
            ["TX", "transmitBytes"],
        ],
    },
}


def item(number: int = 7, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "kubespan",
            "type": "KubeSpanPeerStatuses.kubespan.talos.dev",
            "id": "NzW8oeIH5rJyY5lefD9WRoHWWRr/Q6DwsDjMX+xKjT4=",
            "version": number,
            "owner": "kubespan.ManagerController",
            "phase": "running",
            "created": "2026-01-01T10:00:00Z",
            "updated": "2026-01-01T10:03:00Z",
        },
        "spec": {
            "endpoint": "203.0.113.7:51820",
            "label": "worker-1",
            "state": "up",
            "receiveBytes": 1024,
            "transmitBytes": 2048,
            "lastHandshakeTime": "2026-01-01T10:02:41.123456789Z",
            "lastUsedEndpoint": "203.0.113.7:51820",
            "lastEndpointChange": "2026-01-01T10:00:00.5Z",
            **spec,
        },
    }


TABLE = """\
NODE         NAMESPACE   TYPE                 ID                                             \
VERSION   LABEL      ENDPOINT            STATE   RX     TX
172.20.0.2   kubespan    KubeSpanPeerStatus   NzW8oeIH5rJyY5lefD9WRoHWWRr/Q6DwsDjMX+xKjT4=   \
7         worker-1   203.0.113.7:51820   up      1024   2048
"""

WATCHED = """\
NODE         *   NAMESPACE   TYPE                 ID                                             \
VERSION   LABEL      ENDPOINT            STATE   RX     TX
172.20.0.2   +   kubespan    KubeSpanPeerStatus   NzW8oeIH5rJyY5lefD9WRoHWWRr/Q6DwsDjMX+xKjT4=   \
7         worker-1   203.0.113.7:51820   up      1024   2048
172.20.0.2       kubespan    KubeSpanPeerStatus   NzW8oeIH5rJyY5lefD9WRoHWWRr/Q6DwsDjMX+xKjT4=   \
8         worker-1                       down    1024   2048
172.20.0.2   -   kubespan    KubeSpanPeerStatus   NzW8oeIH5rJyY5lefD9WRoHWWRr/Q6DwsDjMX+xKjT4=   \
8         worker-1                       down    1024   2048
"""

YAML = """\
node: 172.20.0.2
metadata:
    namespace: kubespan
    type: KubeSpanPeerStatuses.kubespan.talos.dev
    id: NzW8oeIH5rJyY5lefD9WRoHWWRr/Q6DwsDjMX+xKjT4=
    version: 7
    owner: kubespan.ManagerController
    phase: running
    created: 2026-01-01T10:00:00Z
    updated: 2026-01-01T10:03:00Z
spec:
    endpoint: 203.0.113.7:51820
    label: worker-1
    state: up
    receiveBytes: 1024
    transmitBytes: 2048
    lastHandshakeTime: 2026-01-01T10:02:41.123456789Z
    lastUsedEndpoint: 203.0.113.7:51820
    lastEndpointChange: 2026-01-01T10:00:00.5Z
"""

JSON = """\
{
    "metadata": {
        "created": "2026-01-01T10:00:00Z",
        "id": "NzW8oeIH5rJyY5lefD9WRoHWWRr/Q6DwsDjMX+xKjT4=",
        "namespace": "kubespan",
        "owner": "kubespan.ManagerController",
        "phase": "running",
        "type": "KubeSpanPeerStatuses.kubespan.talos.dev",
        "updated": "2026-01-01T10:03:00Z",
        "version": 7
    },
    "node": "172.20.0.2",
    "spec": {
        "endpoint": "203.0.113.7:51820",
        "label": "worker-1",
        "lastEndpointChange": "2026-01-01T10:00:00.5Z",
        "lastHandshakeTime": "2026-01-01T10:02:41.123456789Z",
        "lastUsedEndpoint": "203.0.113.7:51820",
        "receiveBytes": 1024,
        "state": "up",
        "transmitBytes": 2048
    }
}
"""


@pytest.mark.parametrize(("name", "expected"), [("table", TABLE), ("yaml", YAML), ("json", JSON)])
def test_one_resource(name: str, expected: str) -> None:
    assert create_form(name, HEADING).show([Change(item())]) == expected


def test_events_in_a_table() -> None:
    form = create_form("table", HEADING, with_events=True)
    down = item(8, endpoint="", state="down")
    text = form.show([Change(item(), "created")])
    text += form.show([Change(down, "updated")]) + form.show([Change(down, "destroyed")])
    assert text == WATCHED


def test_documents_are_parted_by_dashes() -> None:
    form = create_form("yaml", HEADING)
    assert form.show([Change(item())] * 2) + form.show([Change(item())]) == "---\n".join([YAML] * 3)


def test_objects_follow_each_other() -> None:
    assert create_form("json", HEADING).show([Change(item())] * 2) == JSON * 2


def test_events_in_documents() -> None:
    change = [Change(item(), "updated")]
    yaml = create_form("yaml", HEADING).show(change)
    assert yaml.startswith("node: 172.20.0.2\nevent: updated\nmetadata:\n")
    assert create_form("json", HEADING).show(change).startswith('{\n    "event": "updated",\n')


def test_an_empty_table_has_a_header() -> None:
    form = create_form("table", HEADING)
    assert form.show([]).startswith("NODE   NAMESPACE   TYPE   ID   VERSION   LABEL")
    assert form.show([]) == ""
    assert create_form("yaml", HEADING).show([]) == create_form("json", HEADING).show([]) == ""


def test_a_field_that_is_left_out_is_an_empty_cell() -> None:
    bare = item()
    del bare["spec"]["label"]
    heading = {"node": "n", "kind": {"singular": "S", "columns": [["LABEL", "label"]]}}
    assert create_form("table", heading).show([Change(bare)]).endswith("   7         \n")
