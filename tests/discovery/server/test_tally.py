"""What is counted, and that nobody can make us count without end."""

from __future__ import annotations

import pytest

from kubespan.discovery.server.tally import MOST_VERSIONS, CallTally, ServerTally, folded_version


@pytest.mark.parametrize(
    ("tag", "version"),
    [
        ("v1.14.0", "v1.14"),
        ("v1.14.12", "v1.14"),
        ("v1.14", "v1.14"),
        ("v1.15.0-alpha.1", "v1.15-pre"),
        ("v1.14.0-beta.0-12-gabcdef-dirty", "v1.14-pre"),
        ("v1.14.0-\n", "v1.14-pre"),
        ("1.14.0", "unknown"),
        ("v1", "unknown"),
        ("", "unknown"),
        ("v1.x", "unknown"),
        ("v1.14.0 ", "unknown"),
        ("v99999.1.0", "unknown"),
        ("v１.1.0", "unknown"),  # noqa: RUF001  a digit, but not one of ours
    ],
)
def test_version_is_folded(tag: str, version: str) -> None:
    assert folded_version(tag) == version


def test_versions_are_bounded() -> None:
    tally = ServerTally()
    for minor in range(MOST_VERSIONS + 10):
        tally.count_hello(f"v1.{minor}.0")
    tally.count_hello("v1.0.0")
    assert len(tally.hellos) == MOST_VERSIONS + 1
    assert tally.hellos["unknown"] == 10
    assert tally.hellos["v1.0"] == 2


@pytest.mark.parametrize(
    ("duration", "bucket"), [(0.0, 0), (0.01, 0), (0.011, 1), (2.5, 5), (2.6, 6), (1e9, 6)]
)
def test_duration_falls_into_the_bucket_that_reaches_it(duration: float, bucket: int) -> None:
    tally = CallTally()
    tally.finish("OK", duration)
    assert tally.handling_buckets[bucket] == 1
    assert sum(tally.handling_buckets) == 1
    assert tally.handling_seconds == duration
    assert tally.handled == {"OK": 1}
