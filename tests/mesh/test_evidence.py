"""Evidence: what is not known says nothing."""

from __future__ import annotations

from kubespan.mesh.diagnosis import diagnose
from kubespan.mesh.evidence import Evidence, ServiceFacts
from tests.mesh.outcomes import outcome


def test_no_evidence_is_no_problem() -> None:
    assert diagnose(outcome(), Evidence(), 1e6) == ()


def test_a_service_is_connected_until_it_is_down() -> None:
    assert ServiceFacts("default", "discovery.example:443").is_connected
    assert not ServiceFacts("default", "discovery.example:443", down_since=0.0).is_connected
