"""The choice between native and pure, as a fresh process makes it from its environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kubespan import fastpath
from kubespan.fastpath import door
from kubespan.model.errors import ConfigError
from kubespan.wireguard.purepath import PurePath

REPOSITORY = Path(__file__).resolve().parents[2]
ASK = "from kubespan import fastpath as f; print(f.implementation(), f.provider(), end=' ');"
ASK += "print(type(f.create_path()).__name__)"


def ask(**environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("KUBESPAN_")}
    return subprocess.run(
        (sys.executable, "-c", ASK),
        env=clean | environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def test_pure_is_what_the_environment_asks_for() -> None:
    assert ask(KUBESPAN_PURE="1").stdout == "pure pynacl PurePath\n"


@pytest.mark.native
@pytest.mark.skipif(not fastpath.NATIVE, reason="the native module is not in use")
@pytest.mark.parametrize(
    ("environment", "providers"),
    [
        ({}, ("avx512", "avx2", "libcrypto", "portable")),
        ({"KUBESPAN_PURE": "0"}, ("avx512", "avx2", "libcrypto", "portable")),
        ({"KUBESPAN_AEAD": "portable"}, ("portable",)),
        ({"KUBESPAN_AEAD": "libsodium"}, ("libsodium",)),
    ],
)
def test_native_is_what_was_built(environment: dict[str, str], providers: tuple[str, ...]) -> None:
    implementation, provider, path = ask(**environment).stdout.split()
    assert (implementation, path) == ("native", "NativePath")
    assert provider in providers


@pytest.mark.native
@pytest.mark.skipif(not fastpath.NATIVE, reason="the native module is not in use")
def test_a_wrong_provider_says_what_to_write() -> None:
    done = ask(KUBESPAN_AEAD="rot13")
    assert done.returncode != 0
    names = "avx512, avx2, libcrypto, portable or libsodium"
    assert f"KUBESPAN_AEAD='rot13': write {names}, or unset it" in done.stderr


@pytest.mark.native
@pytest.mark.skipif(not fastpath.NATIVE, reason="the native module is not in use")
@pytest.mark.parametrize(
    ("value", "processors", "count"),
    [
        ("1", 8, 1),
        ("2", 1, 2),
        ("16", 1, 16),
        ("", 1, 1),
        ("", 2, 1),
        ("", 3, 2),
        (None, 2, 1),
        (None, 3, 2),
    ],
)
def test_as_many_threads_as_the_variable_says_or_suit_the_processors(
    monkeypatch: pytest.MonkeyPatch, value: str | None, processors: int, count: int
) -> None:
    monkeypatch.delenv("KUBESPAN_THREADS", raising=False)
    if value is not None:
        monkeypatch.setenv("KUBESPAN_THREADS", value)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(processors)))
    assert fastpath.thread_count() == count


@pytest.mark.parametrize("is_native", sorted({False, fastpath.NATIVE}))
@pytest.mark.parametrize("value", ["0", "17", "x", " 2", "02", "-1", "2.0"])
def test_another_number_of_threads_says_what_to_write(
    monkeypatch: pytest.MonkeyPatch, value: str, is_native: bool
) -> None:
    monkeypatch.setattr(door, "NATIVE", is_native)
    monkeypatch.setenv("KUBESPAN_THREADS", value)
    for refuse in (fastpath.create_path, fastpath.check_environment):
        with pytest.raises(ConfigError) as refused:
            refuse()
        assert str(refused.value) == (
            f"KUBESPAN_THREADS={value!r}: write a number from 1 to 16, or unset it"
        )


def test_the_pure_build_has_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "NATIVE", False)
    monkeypatch.setenv("KUBESPAN_THREADS", "2")
    assert fastpath.thread_count() == 0


def test_this_process_has_the_path_it_reports() -> None:
    is_pure = isinstance(fastpath.create_path(), PurePath)
    assert is_pure == (fastpath.implementation() == "pure") == (not fastpath.NATIVE)
