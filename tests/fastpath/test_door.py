"""The choice between native and pure, as a fresh process makes it from its environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kubespan import fastpath
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


def test_this_process_has_the_path_it_reports() -> None:
    is_pure = isinstance(fastpath.create_path(), PurePath)
    assert is_pure == (fastpath.implementation() == "pure") == (not fastpath.NATIVE)
