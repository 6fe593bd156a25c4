"""What may be said of a call."""

from __future__ import annotations

from unittest import mock

import pytest
from grpc import StatusCode

from kubespan.discovery.method import HELLO
from kubespan.discovery.proto.server_pb2 import AffiliateDeleteRequest, HelloRequest
from kubespan.discovery.server.call import CODE_NAMES, Call, cluster_label, printable
from kubespan.discovery.server.tally import CallTally


def test_codes_are_spelled_as_metrics_spell_them() -> None:
    assert [CODE_NAMES[code] for code in StatusCode] == [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ]


def test_facts_are_what_is_known() -> None:
    call = Call(HELLO, CallTally(), mock.Mock(), bytes([192, 0, 2, 1]), 0.0)
    assert call.facts() == {"method": "Hello", "peer": "192.0.2.1"}
    call.describe(HelloRequest(cluster_id="c", client_version="v1.14.0"))
    assert call.facts() == {
        "method": "Hello",
        "peer": "192.0.2.1",
        "cluster": cluster_label("c"),
        "client": "v1.14.0",
    }
    call.describe(AffiliateDeleteRequest(cluster_id="c", affiliate_id="a"))
    assert call.facts()["affiliate"] == "a"


def test_label_of_a_cluster_is_always_the_same_and_not_its_id() -> None:
    assert cluster_label("abc") == "ba7816bf8f01"
    assert cluster_label("") == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [("v1.14.0", "v1.14.0"), ("a\nb", "a\\nb"), ("\x1b[2J", "\\x1b[2J"), ("é", "\\xe9")],
)
def test_what_was_sent_is_shown_harmless(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_was_sent_is_shown_short() -> None:
    assert len(printable("x" * 300)) == 64
