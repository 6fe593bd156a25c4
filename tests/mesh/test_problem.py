"""Problem codes are promises: a code never changes its meaning or its spelling."""

from __future__ import annotations

from kubespan.mesh.problem import ProblemCode


def test_codes_are_those_that_were_promised() -> None:
    assert {code.value for code in ProblemCode} == {
        "KS-NOREPLY", "KS-PSK", "KS-CLOCK", "KS-OVERLAP", "KS-TUNNEL-IN-TUNNEL", "KS-MTU",
        "KS-UDP-BLOCKED", "KS-DISC-DOWN", "KS-DISC-LIMIT", "KS-STALE-AFFILIATE", "KS-RPFILTER",
        "KS-USERNS", "KS-SLOWPATH",
    }  # fmt: skip
