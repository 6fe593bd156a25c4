"""`python -m bench.compare`: compare, print the tables, write report and plots."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from bench.compare import implementations, machine, options, plan, report
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
    sessions = _sessions(plan.sections(wanted), contenders, notes)
    _announce(sessions)
    samples: list[Sample] = []
    interrupted = False
    try:
        interrupted = _measure(sessions, samples)
    finally:
        # Also when something broke that nobody thought of: an hour's figures are worth keeping.
        command = shlex.join(["python", "-m", "bench.compare", *arguments])
        _publish(_comparison(command, sessions, samples), wanted.out)
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


def _sessions(
    sections: Sequence[Options], contenders: Sequence[Contender], notes: list[str]
) -> list[Session]:
    """One for each section, with those of its contenders that are there; notes are shared."""
    sessions = []
    for section in sections:
        present = [pair for pair in contenders if pair.name in section.contenders]
        present_names = tuple(pair.name for pair in present)
        section = replace(section, contenders=present_names)  # noqa: PLW2901
        sessions.append(Session(section, present, notes=notes))
    return sessions


def _announce(sessions: Sequence[Session]) -> None:
    """How long each section will take, and all of them."""
    minutes = [plan.estimate(session.options) / 60 for session in sessions]
    if len(sessions) > 1:
        for session, expected in zip(sessions, minutes, strict=True):
            title = session.options.title or "As without --full"
            print(f"{title}: about {expected:.0f} minutes", file=sys.stderr)
    over_at = time.strftime("%H:%M", time.localtime(time.time() + 60 * sum(minutes)))
    print(f"about {sum(minutes):.0f} minutes if undisturbed, until {over_at}", file=sys.stderr)


def _measure(sessions: Sequence[Session], samples: list[Sample]) -> bool:
    """All samples are there, or those until Ctrl-C, when it is True; labs are gone either way."""
    try:
        with _terminable():
            for session in sessions:
                with closing(session.samples()) as running:
                    for sample in running:
                        samples.append(sample)
                        print(report.progress(sample), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        sessions[0].notes.append("interrupted: not everything was measured")
        return True
    return False


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM unwinds like Ctrl-C, so that it leaves nothing behind either."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _comparison(command: str, sessions: Sequence[Session], samples: list[Sample]) -> Comparison:
    ends = [end for pair in sessions[0].contenders for end in (pair.a, pair.b)]
    return Comparison(
        command,
        sessions[0].options.reference,
        machine.facts(),
        {end.name: end.version for end in ends},
        sessions[0].remarks,
        {link: said for session in sessions for link, said in session.features.items()},
        sessions[0].notes,
        samples,
    )


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
