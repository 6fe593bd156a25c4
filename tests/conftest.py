"""What the whole suite shares: it says what is under test, and keeps skips honest.

The markers are described in pyproject.toml. A test marked `netns` needs root. `KUBESPAN_NO_SKIP=1`
or `CI` says that this machine has everything, so that a test left out there is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.peers import may_skip, program_under_test

MEASURED = "measured"

# A busy machine makes no test wrong.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which implementation the run is about."""
    return [f"kubespan: {_implementation()}", f"program under test: {program_under_test().path}"]


def _implementation() -> str:
    try:
        from kubespan import fastpath  # noqa: PLC0415  a broken build is news, not an end
    except ImportError as error:
        return f"the fast path does not import ({error})"
    return f"{fastpath.implementation()}, AEAD by {fastpath.provider()}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Only root can make network namespaces."""
    if item.get_closest_marker("netns") and os.geteuid() != 0:
        pytest.skip("needs root to make network namespaces")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a namespace test into a failure where root says that nothing is missing."""
    report = yield
    left_out = report.skipped and not hasattr(report, "wasxfail")
    if left_out and item.get_closest_marker("netns") and os.geteuid() == 0 and not may_skip():
        report.outcome = "failed"
        report.longrepr = f"left out where nothing may be: {report.longreprtext}"
    return report


@pytest.fixture
def measured(record_property: Any) -> Any:
    """Note a measurement, which the summary prints; no test passes or fails by it."""

    def note(what: str, value: str) -> None:
        record_property(MEASURED, f"{what}: {value}")

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the passed tests measured."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    lines = [str(v) for r in reports for name, v in r.user_properties if name == MEASURED]
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)
