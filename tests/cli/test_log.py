"""The lines of a log, and how many."""

from __future__ import annotations

import io
import logging
from contextlib import suppress

import pytest

from kubespan.cli.log import create_log, log_level
from kubespan.model.errors import ConfigError


@pytest.mark.parametrize(
    ("environment", "level"),
    [
        ({}, logging.INFO),
        ({"KUBESPAN_LOG": ""}, logging.INFO),
        ({"KUBESPAN_LOG": "debug"}, logging.DEBUG),
        ({"KUBESPAN_LOG": "error"}, logging.ERROR),
    ],
)
def test_level(environment: dict[str, str], level: int) -> None:
    assert log_level(environment) == level


def test_level_that_does_not_exist_is_the_operators_mistake() -> None:
    with pytest.raises(ConfigError, match="KUBESPAN_LOG='loud' is no level; write debug"):
        log_level({"KUBESPAN_LOG": "loud"})


def test_event_is_one_line_whatever_is_in_it() -> None:
    file = io.StringIO()
    log = create_log(logging.INFO, file)
    log.info("listening", address="[::]:3000", reason='two\nlines "quoted"')
    log.error("a bug", exc_info=ZeroDivisionError())
    first, second = file.getvalue().splitlines()
    assert first.startswith("time=")
    assert r'level=info event=listening address=[::]:3000 reason="two\nlines \"quoted\""' in first
    assert "ZeroDivisionError" in second


def test_less_is_written_where_less_is_asked_for() -> None:
    file = io.StringIO()
    log = create_log(logging.WARNING, file)
    log.info("nothing")
    log.warning("something")
    assert file.getvalue().count("\n") == 1


def test_a_full_disk_ends_nobody() -> None:
    with open("/dev/full", "w", buffering=1) as full:  # noqa: PTH123  a device is no path
        log = create_log(logging.INFO, full)
        log.info("lost")
        log.warning("lost too")
        with suppress(OSError):
            full.close()
