"""The AEAD kernels as C alone: every byte they touch, that no secret steers them or stays behind.

check_aead.c and twice_aead.c say what is checked. The first is built twice: with sanitizers, where
every level runs that the processor has, and for valgrind, which has no AVX-512, so that level is
left out there. The second follows the instructions of every level, AVX-512 too; which addresses of
data they use it cannot see, so for that level nothing does.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fastpath.offload_library import NATIVE, compiler
from tests.peers import leave_out, need

HERE = Path(__file__).parent
KERNELS = ("avx512", "avx2", "portable")
LIBRARIES = ("libcrypto", "libsodium")
SANITIZED = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
ABSENT = {
    2: "there is no libcrypto to compare with",
    3: "the processor has no such instructions, or the machine no such library",
    4: "the machine lets nobody step through a program",
}
LIBCRYPTO_KEEPS = 2 * (64 + 16)
"""For each direction the last block of keystream, and a tag; until the next call or the end."""
ROUNDS = os.environ.get("KUBESPAN_FUZZ_ROUNDS", "200")
ROUNDS_IN_VALGRIND = "5"


def build(program: Path, source: str, *flags: str) -> Path:
    include = ("-include", str(HERE / "check_aead.h"), f"-I{HERE}", f"-I{NATIVE}")
    command = (compiler(), "-std=gnu11", "-D_GNU_SOURCE", "-g", *flags)
    sources = [str(HERE / source), *map(str, NATIVE.glob("aead_*.c"))]
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


def run(*command: str) -> list[int]:
    # Whoever runs us under a sanitizer preloads it, which neither valgrind nor a second one bears.
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode in ABSENT:
        pytest.skip(ABSENT[done.returncode])
    assert (done.returncode, done.stderr) == (0, "")
    return [int(word) for word in done.stdout.split()]


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("sanitized") / "check", "check_aead.c", *SANITIZED)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("valgrind")
    return build(tmp_path_factory.mktemp("plain") / "check", "check_aead.c", "-O3")


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build(tmp_path_factory.mktemp("twice") / "twice", "twice_aead.c", "-O3"))


@pytest.mark.parametrize("level", [*KERNELS, *LIBRARIES])
def test_random_batches_under_sanitizers(sanitized: Path, level: str) -> None:
    sealed, opened, refused = run(str(sanitized), "1", ROUNDS, level)
    assert sealed == opened > int(ROUNDS)
    assert 0 < refused < opened


@pytest.mark.parametrize("level", KERNELS)
def test_no_branch_and_no_address_depends_on_a_secret(plain: Path, level: str) -> None:
    valgrind = ("valgrind", "-q", "--error-exitcode=9")
    _, opened, refused = run(*valgrind, str(plain), "3", ROUNDS_IN_VALGRIND, level)
    assert 0 < refused < opened


@pytest.mark.parametrize("level", KERNELS)
def test_the_same_instructions_run_whatever_is_secret(twice: str, level: str) -> None:
    [steps] = run(twice, "steps", level)
    assert steps > 20_000


@pytest.mark.parametrize("level", [*KERNELS, *LIBRARIES])
def test_no_secret_is_left_on_the_heap_after_a_call(twice: str, level: str) -> None:
    [differing] = run(twice, "remains", level)
    assert differing <= (LIBCRYPTO_KEEPS if level == "libcrypto" else 0)
