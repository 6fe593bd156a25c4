"""Builds the one native module, `kubespan._fastpath`, from its Cython source and the C beside it.

Everything else about the package is in `pyproject.toml`. Two switches, read from the environment:
`KUBESPAN_PURE=1` leaves the module out, so that every packet takes the Python path;
`KUBESPAN_SANITIZE=1` builds it with the address and undefined-behaviour sanitizers.
There is no `-march`: one build runs on every processor, and picks its instructions at run time.
"""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import Extension, setup

SOURCE = Path("kubespan/_fastpath.pyx")
NATIVE = Path("kubespan/native")

OPTIMIZED = ["-O3"]
SANITIZED = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined"]

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "nonecheck": False,
    "cdivision": True,
    "auto_pickle": False,
    "freethreading_compatible": True,
    "warn.undeclared": False,
    "warn.unused": True,
}


def switched_on(name: str) -> bool:
    """Say whether the variable `name` is set to something other than 0."""
    return os.environ.get(name, "") not in ("", "0")


def fastpath() -> Extension:
    """Describe the native module; the headers are dependencies, so touching one rebuilds it."""
    sanitize = switched_on("KUBESPAN_SANITIZE")
    flags = SANITIZED if sanitize else OPTIMIZED
    return Extension(
        "kubespan._fastpath",
        sources=[str(SOURCE), *sorted(str(path) for path in NATIVE.glob("*.c"))],
        depends=[str(path) for path in (*NATIVE.glob("*.h"), *SOURCE.parent.glob("*.pxd"))],
        include_dirs=[str(SOURCE.parent), str(NATIVE)],
        extra_compile_args=[*flags, "-std=gnu11", "-fvisibility=hidden", "-Wall"],
        extra_link_args=["-fsanitize=address,undefined"] if sanitize else [],
        libraries=["dl", "pthread"],
        define_macros=[("_GNU_SOURCE", "")],
    )


def extensions() -> list[Extension]:
    """Give the native module compiled to C, or nothing when the pure build is asked for."""
    if switched_on("KUBESPAN_PURE"):
        return []
    from Cython.Build import cythonize  # noqa: PLC0415  the pure build needs no Cython

    modules: list[Extension] = cythonize(
        [fastpath()], build_dir="build/cython", compiler_directives=DIRECTIVES
    )
    return modules


setup(ext_modules=extensions())
