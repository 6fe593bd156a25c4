"""Fixtures of the Linux tests: a network namespace, and TUN devices in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.netns.namespace import Namespace


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A network namespace of this test alone."""
    made = Namespace("l")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def elsewhere() -> Iterator[Namespace]:
    """Another one, to move interfaces to."""
    made = Namespace("e")
    try:
        yield made
    finally:
        made.close()
