"""`python -m bench.compare`: compare, print the tables, write report and plots."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from bench.compare import implementations, machine, options, report
from bench.compare.implementations import Contender, Missing
from bench.compare.options import Options
from bench.compare.report import Comparison
from bench.compare.results import Sample
from bench.compare.session import Session

INTERRUPTED = 130


def main(arguments: Sequence[str]) -> int:
    """The exit code of one comparison: 0, 1 if something failed, 130 if interrupted."""
    wanted = options.parse(arguments)
    if os.geteuid() != 0:
        return _refuse("network namespaces and TUN devices need root")
    try:
        contenders, notes = _contenders(wanted)
    except (Missing, ValueError) as error:
        return _refuse(str(error))
    session = Session(wanted, contenders, notes=notes)
    samples, interrupted = _measure(session)
    versions = {end.name: end.version for pair in contenders for end in (pair.a, pair.b)}
    command = shlex.join(["python", "-m", "bench.compare", *arguments])
    _publish(
        Comparison(
            command,
            wanted.reference,
            machine.facts(),
            versions,
            session.remarks,
            session.features,
            session.notes,
            samples,
        ),
        wanted.out,
    )
    if interrupted:
        return INTERRUPTED
    return 1 if any(sample.failure for sample in samples) or not samples else 0


def _contenders(wanted: Options) -> tuple[list[Contender], list[str]]:
    """Everyone who is there; who is missing is a mistake only if asked for by name."""
    found, notes = [], []
    for name in wanted.contenders:
        try:
            found.append(implementations.contender(name))
        except Missing as missing:
            if wanted.is_explicit:
                raise
            notes.append(f"{name} left out: {missing}")
            print(notes[-1], file=sys.stderr)
    return found, notes


def _measure(session: Session) -> tuple[list[Sample], bool]:
    """All samples, or those until Ctrl-C; labs are gone either way."""
    samples: list[Sample] = []
    try:
        with _terminable(), closing(session.samples()) as running:
            for sample in running:
                samples.append(sample)
                print(report.progress(sample), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        session.notes.append("interrupted: not everything was measured")
        return samples, True
    return samples, False


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM unwinds like Ctrl-C, so that it leaves nothing behind either."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _publish(comparison: Comparison, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    text = report.as_markdown(comparison)
    (out / "report.md").write_text(text)
    (out / "report.json").write_text(report.as_json(comparison))
    print(text, end="")
    print(f"written to {out}", file=sys.stderr)
    try:
        from bench.compare import plot  # noqa: PLC0415 -- matplotlib is optional
    except ImportError:
        print("no plot: pip install matplotlib", file=sys.stderr)
        return
    if comparison.samples:
        plot.draw(comparison, out)


def _refuse(reason: str) -> int:
    print(f"bench.compare: {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
