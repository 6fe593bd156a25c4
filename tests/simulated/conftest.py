"""Every simulated test runs on the Python data path, and on the native one where it is built."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kubespan.wireguard.datapath import DataPath
from kubespan.wireguard.purepath import PurePath
from tests.simulated.pair import Pair

CreatePath = Callable[[], DataPath]


def native_path() -> DataPath:
    """Make a native data path, whose lanes are never started."""
    from kubespan import fastpath  # noqa: PLC0415  a build that is missing is a skip

    return fastpath.create_path()


@pytest.fixture(params=["pure", pytest.param("native", marks=pytest.mark.native)])
def create_path(request: pytest.FixtureRequest) -> CreatePath:
    """Return what makes the data paths of the test."""
    if request.param == "pure":
        return PurePath
    fastpath = pytest.importorskip("kubespan.fastpath", exc_type=ImportError)
    if fastpath.implementation() != "native":
        pytest.skip("the native module is not in use")
    return native_path


@pytest.fixture
def pair(create_path: CreatePath) -> Pair:
    """Return Alice and Bob, up, who have not spoken yet."""
    return Pair(create_path=create_path)


@pytest.fixture
def connected(create_path: CreatePath) -> Pair:
    """Return Alice and Bob with a session that Alice began, and nothing pending."""
    made = Pair(create_path=create_path)
    made.connect()
    return made
