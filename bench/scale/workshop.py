"""C programs beside this file, compiled for one run."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.compare.processes import CommandFailed, run


class Workshop:
    """A directory of compiled programs; a context manager that takes it away again."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="kubespan-scale-")

    @property
    def folder(self) -> Path:
        """Where files of this run may lie."""
        return Path(self._directory.name)

    def program(self, name: str) -> str:
        """The path of a program, compiled at the first call. Raises CommandFailed."""
        built = self.folder / name
        if not built.exists():
            if (compiler := shutil.which("cc")) is None:
                raise CommandFailed("needs a C compiler: apt-get install gcc libc6-dev")
            source = Path(__file__).with_name(f"{name}.c")
            run([compiler, "-O2", "-Wall", "-o", str(built), str(source)])
        return str(built)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._directory.cleanup()
