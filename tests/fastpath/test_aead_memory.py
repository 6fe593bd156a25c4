"""The AEAD kernels as C alone: every byte they touch, and that no secret steers them.

check_aead.c says what is checked. Here it is built twice: with sanitizers, where every level runs
that the processor has, and for valgrind, which has no AVX-512, so that level is left out there.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fastpath.offload_library import NATIVE, compiler
from tests.peers import leave_out, need

HERE = Path(__file__).parent
SOURCES = [HERE / "check_aead.c", *(p for p in NATIVE.glob("aead_*.c") if "sodium" not in p.name)]
LEVELS = ("avx512", "avx2", "portable")
SANITIZED = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
ABSENT = {2: "there is no libcrypto to compare with", 3: "the processor has no such instructions"}
ROUNDS = os.environ.get("KUBESPAN_FUZZ_ROUNDS", "200")
ROUNDS_IN_VALGRIND = "5"


def build(program: Path, *flags: str) -> Path:
    include = ("-include", str(HERE / "check_aead.h"), f"-I{HERE}", f"-I{NATIVE}")
    command = (compiler(), "-std=gnu11", "-D_GNU_SOURCE", "-g", *flags)
    sources = [str(path) for path in SOURCES]
    built = subprocess.run(
        (*command, *include, "-o", str(program), *sources, "-ldl"),
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode != 0 and "lasan" in built.stderr:
        leave_out("the compiler has no sanitizers")
    assert built.returncode == 0, built.stderr
    return program


def run(*command: str) -> tuple[int, int, int]:
    # Whoever runs us under a sanitizer preloads it, which neither valgrind nor a second one bears.
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode in ABSENT:
        pytest.skip(ABSENT[done.returncode])
    assert (done.returncode, done.stderr) == (0, "")
    sealed, opened, refused = (int(word) for word in done.stdout.split())
    return sealed, opened, refused


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("sanitized") / "check", *SANITIZED)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("valgrind")
    return build(tmp_path_factory.mktemp("plain") / "check", "-O3")


@pytest.mark.parametrize("level", LEVELS)
def test_random_batches_under_sanitizers(sanitized: Path, level: str) -> None:
    sealed, opened, refused = run(str(sanitized), "1", ROUNDS, level)
    assert sealed == opened > int(ROUNDS)
    assert 0 < refused < opened


@pytest.mark.parametrize("level", LEVELS)
def test_no_branch_and_no_address_depends_on_a_secret(plain: Path, level: str) -> None:
    valgrind = ("valgrind", "-q", "--error-exitcode=9")
    _, opened, refused = run(*valgrind, str(plain), "3", ROUNDS_IN_VALGRIND, level)
    assert 0 < refused < opened
