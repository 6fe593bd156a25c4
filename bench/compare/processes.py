"""Child processes that cannot outlive the harness.

Every child dies with its parent (PR_SET_PDEATHSIG, set by `setpriv`), keeps out of the terminal's
Ctrl-C, and is ended by its own id: nothing here ever looks a process up by name.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

END_TIMEOUT = 5.0
LOOK_EVERY = 0.01


class CommandFailed(Exception):
    """A command of the harness failed; the text is the command and what it said."""


class Child:
    """One running process with its output in an unlinked temporary file."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the process
        self._command = command
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        self.pid = self._process.pid

    def has_exited(self) -> bool:
        """Whether the process is over; it is not reaped, so that its CPU clock stays readable."""
        if self._process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def output(self) -> str:
        """What the process has written to standard output and error so far."""
        # The child writes through the same file description: moving its offset would harm.
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode(errors="replace")

    def result(self) -> str:
        """The output of a process that is over. Raises CommandFailed for a non-zero exit code."""
        if self._process.wait() != 0:
            raise CommandFailed(f"{' '.join(self._command)}: {self.output().strip()}")
        return self.output()

    def signal(self, number: signal.Signals) -> None:
        """The process has been sent the signal; it may still be running."""
        self._process.send_signal(number)

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """It holds now. Raises CommandFailed if the process ends without it, or takes too long."""
        give_up_at = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > give_up_at or (self.has_exited() and not condition()):
                raise CommandFailed(self.output().strip() or "does not end")
            time.sleep(LOOK_EVERY)

    def end(self) -> None:
        """The process is gone and reaped: asked first, killed if it does not listen."""
        self._process.terminate()
        try:
            self._process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()


def run(command: Sequence[str], text: str = "", timeout: float | None = None) -> str:
    """The standard output of a short command fed with `text`. Raises CommandFailed."""
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=True, timeout=timeout
        )
    except FileNotFoundError as error:
        raise CommandFailed(f"{command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        raise CommandFailed(f"{' '.join(command)}: {error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{' '.join(command)}: no answer in {timeout:g} s") from error
    return done.stdout
