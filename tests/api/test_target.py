"""What the tests of requests act on is a target; that the device is one is told in its own test."""

from __future__ import annotations

from kubespan.api.target import Target
from tests.api.desk import Desk


def test_the_desk_of_these_tests_is_a_target() -> None:
    target: Target = Desk()
    wanted = {name for name in vars(Target) if not name.startswith("_")}
    assert wanted <= {*vars(Desk), *vars(target)}
