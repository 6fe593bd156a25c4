"""AEAD providers side by side: `python -m bench.aead` prints a table of ratios to libcrypto.

All run in one process, in turns, compiled from the sources of the native module with its flags; no
Python object is made for a packet. A figure is the median time of a packet; a ratio is the median
of those of single rounds, in which the providers met the same machine. Only rounds count in which
libcrypto was within 5 % of its best: the kernels are less easily disturbed than it is, so a busy
machine would flatter them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import median

import click

REPOSITORY = Path(__file__).resolve().parent.parent
NATIVE = REPOSITORY / "kubespan" / "native"
REFERENCE = "libcrypto"
LEVELS = ("avx512", "avx2", "portable")
WITHOUT_AVX512 = ":~0xd0230000"
"""For OPENSSL_ia32cap(3): the bits of AVX-512 F, DQ, IFMA, CD, BW and VL are off."""
WITHIN = 1.05
"""A round counts when the reference took at most this much of its best time."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One provider at one size and batch: nanoseconds a packet, by round."""

    provider: str
    verb: str
    size: int
    batch: int
    rounds: tuple[float, ...]


def parse(line: str) -> Timing:
    """Read a line that aead.c printed."""
    provider, verb, size, batch, *rounds = line.split()
    return Timing(provider, verb, int(size), int(batch), tuple(map(float, rounds)))


def quiet(reference: Timing) -> list[int]:
    """Number the rounds in which the reference was not disturbed."""
    best = min(reference.rounds)
    return [i for i, time in enumerate(reference.rounds) if time <= WITHIN * best]


def row(timings: Sequence[Timing]) -> str:
    """Give the line of one verb, size and batch; the reference is the first of `timings`."""
    reference = timings[0]
    counted = quiet(reference)
    cells = [f"{reference.verb} {reference.size:5} b{reference.batch:<2}"]
    for timing in timings:
        ratio = median(reference.rounds[i] / timing.rounds[i] for i in counted)
        time = median(timing.rounds[i] for i in counted)
        cells.append(f"{time:9.1f}" if timing is reference else f"{time:7.1f} {ratio:6.2f}x")
    return " | ".join([*cells, f"{len(counted):3} of {len(reference.rounds)}"])


def rows(timings: Iterable[Timing]) -> Iterator[str]:
    """Give a line for each verb, size and batch."""
    for _, group in groupby(timings, key=lambda timing: (timing.verb, timing.size, timing.batch)):
        yield row(list(group))


def heading(timings: Iterable[Timing]) -> str:
    """Name the columns."""
    first, *others = dict.fromkeys(timing.provider for timing in timings)
    names = [f"{first:>9}", *(f"{name:>15}" for name in others)]
    return " | ".join(["ns a packet   ", *names, "rounds counted"])


def build(folder: Path) -> Path:
    """Compile aead.c and the providers as setup.py does."""
    compiler = shutil.which("cc")
    if compiler is None:
        sys.exit("There is no C compiler here: apt-get install gcc libc6-dev")
    program = folder / "aead"
    names = ("aead_avx512", "aead_avx2", "aead_portable", "aead_libcrypto")
    sources = [str(NATIVE / f"{name}.c") for name in names]
    flags = ("-O3", "-std=gnu11", "-fvisibility=hidden", "-D_GNU_SOURCE", f"-I{NATIVE}")
    here = str(Path(__file__).with_name("aead.c"))
    subprocess.run((compiler, *flags, "-o", str(program), here, *sources, "-ldl"), check=True)
    return program


def measure(program: Path, environment: Mapping[str, str], *arguments: str) -> list[Timing]:
    """Run the program to its end."""
    command = (str(program), *arguments, REFERENCE, *LEVELS)
    done = subprocess.run(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True
    )
    return [parse(line) for line in done.stdout.splitlines()]


@click.command()
@click.option("--rounds", default=41, show_default=True)
@click.option("--sizes", default="64,512,1420,8920", show_default=True)
@click.option("--batches", default="1,2,4,8,16,45", show_default=True)
@click.option("--old-libcrypto", is_flag=True, help="libcrypto as on a machine without AVX-512")
def main(rounds: int, sizes: str, batches: str, old_libcrypto: bool) -> None:
    """Compare the AEAD kernels with libcrypto, in one process."""
    environment = {"OPENSSL_ia32cap": WITHOUT_AVX512} if old_libcrypto else {}
    with tempfile.TemporaryDirectory(prefix="kubespan-bench-") as folder:
        timings = measure(build(Path(folder)), environment, str(rounds), sizes, batches)
    if not timings or timings[0].provider != REFERENCE:
        sys.exit("There is no libcrypto here to compare with")
    print(heading(timings))
    for row in rows(timings):
        print(row)


if __name__ == "__main__":
    main()
