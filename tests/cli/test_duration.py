"""Durations, as they are written."""

from __future__ import annotations

import pytest

from kubespan.cli.duration import parse_duration
from kubespan.model.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60), ("1m", 60), ("1h30m", 5400), ("1m0.5s", 60.5), ("250ms", 0.25), ("0s", 0)],
)
def test_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text, "--gc-interval") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "60", "s", "-1s", "1 m", "1d", "1m x", "１s"])  # noqa: RUF001
def test_what_is_no_duration_is_the_operators_mistake(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--gc-interval .* write 60s"):
        parse_duration(text, "--gc-interval")
