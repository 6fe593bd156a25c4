"""Tables that line up, and JSON and YAML that parse."""

from __future__ import annotations

import json
from ipaddress import ip_address

import pytest
import yaml

from kubespan.cli.affiliate import Event, Shown, document
from kubespan.cli.affiliate_format import FORMATS, create_format
from kubespan.cli.table import PADDING
from kubespan.model.address import Endpoint
from kubespan.model.keys import PublicKey
from kubespan.model.resources import Affiliate, KubeSpanAffiliate, MachineType

PEER = KubeSpanAffiliate(PublicKey(bytes(32)), None, endpoints=(Endpoint.parse("192.0.2.1:1"),))
A = Shown(
    Affiliate(
        "a",
        addresses=(ip_address("192.0.2.1"), ip_address("fd00::1")),
        hostname="host-a",
        machine_type=MachineType.WORKER,
        kubespan=PEER,
    ),
    1,
    "t1",
    "t1",
)
LONG = Shown(Affiliate("a-longer-id", hostname="b"), 1, "t1", "t1")


def test_table_lines_up_under_its_header() -> None:
    form = create_format("table", marks=False)
    key = "A" * 43 + "="
    columns = ("ID", "HOSTNAME", "MACHINE TYPE", f"{'ADDRESSES':23}", f"{'PUBLIC KEY':44}")
    assert form([(None, A)]).splitlines() == [
        (" " * PADDING).join((*columns, "ENDPOINTS")),
        f'a    host-a     worker         ["192.0.2.1","fd00::1"]   {key}   ["192.0.2.1:1"]',
    ]


def test_table_of_events_has_a_mark_and_one_header() -> None:
    form = create_format("table", marks=True)
    header, first = form([(Event.CREATED, A)]).splitlines()
    assert header.startswith("*   ID   HOSTNAME")
    assert first.startswith("+   a    host-a")
    second, third = form([(Event.UPDATED, A), (Event.DESTROYED, LONG)]).splitlines()
    assert second.startswith("    a             host-a")
    assert third.startswith("-   a-longer-id   b ")
    (fourth,) = form([(Event.DESTROYED, A)]).splitlines()
    assert fourth.startswith("-   a             host-a")


def test_names_do_not_move_a_terminal_s_cursor() -> None:
    hostile = Shown(Affiliate("a", hostname="\x1b[2J"), 1, "t1", "t1")
    assert r"\x1b[2J" in create_format("table", marks=False)([(None, hostile)])


def test_table_of_nobody_is_a_header() -> None:
    assert create_format("table", marks=True)([]).split()[:2] == ["*", "ID"]


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_new_is_nothing_to_write(name: str) -> None:
    """As when a service is connected again and everybody is still there."""
    form = create_format(name, marks=True)
    assert form([(Event.CREATED, A)])
    assert form([]) == ""
    assert form([(Event.DESTROYED, A)])


def test_json_is_one_line_each() -> None:
    lines = create_format("json", marks=True)([(Event.CREATED, A), (None, LONG)]).splitlines()
    assert [json.loads(line) for line in lines] == [
        document(A, Event.CREATED),
        document(LONG, None),
    ]


def test_yaml_is_one_document_each() -> None:
    text = create_format("yaml", marks=True)([(Event.CREATED, A), (Event.DESTROYED, LONG)])
    assert text.startswith("---\nevent: created\nmetadata:\n    namespace: cluster\n")
    assert list(yaml.safe_load_all(text)) == [
        document(A, Event.CREATED),
        document(LONG, Event.DESTROYED),
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_had(name: str) -> None:
    assert create_format(name, marks=False)([(None, A)])
