"""One ``rewa sweep`` in a process of its own, as from a terminal; and how to be rid of all it started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rewa.errors import RunError


class Driver:
    """A running command, in a session and process group of its own.

    Its output goes to files, for Ray's agents outlive a killed driver and would keep a pipe open.

    Args:
        words: The command.
        home: Its directory, which also gets the two output files.
        number: Of this driver among those of its sweep, for the files' names.
        environment: Of the process.
    """

    def __init__(self, words: Sequence[str], home: Path, number: int, environment: Mapping[str, str]) -> None:
        self._out, self._err = home / f"driver-{number}.out", home / f"driver-{number}.err"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                list(words),
                cwd=home,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.pid = self.process.pid

    @property
    def status(self) -> int | None:
        """Exit status; ``None`` while it runs."""
        return self.process.poll()

    @property
    def out(self) -> str:
        """What it printed so far."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it complained of so far."""
        return self._err.read_text()

    @property
    def last_words(self) -> str:
        """The last line of its complaints, for a message."""
        return (self.err.strip().splitlines() or ["(nothing on stderr)"])[-1]

    def wait(self, seconds: float) -> int:
        """Return the exit status, waiting for it.

        Raises:
            RunError: If the process has not ended within so many seconds.
        """
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise RunError(f"the sweep did not end within {seconds:.0f} s: {self.last_words}") from None

    def kill(self) -> None:
        """Kill -9 the driver alone."""
        self.process.kill()
        self.process.wait()

    def interrupt(self, number: int) -> None:
        """Send a signal to the whole process group, as a terminal does on Ctrl-C."""
        os.killpg(self.pid, number)

    def sweep_away(self) -> None:
        """End every process of the session, Ray's own that outlive a killed driver included."""
        end_session(self.process)


def end_session(leader: subprocess.Popen[Any]) -> None:
    """Kill -9 a process that was started in a session of its own, and all others of that session."""
    deadline = time.monotonic() + 10
    while (left := _session(leader.pid)) and time.monotonic() < deadline:
        for pid in left:
            kill_process(pid)
        time.sleep(0.05)
    leader.wait()


def kill_process(pid: int) -> bool:
    """Kill -9 one process; return whether it was there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and was not waited for does not."""
    fields = _stat(pid)
    return bool(fields) and fields[0] != "Z"


def _session(leader: int) -> list[int]:
    """Return the processes of a session, from Linux's /proc."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    found = {pid: _stat(pid) for pid in pids}
    return [pid for pid, fields in found.items() if fields and fields[3] == str(leader) and fields[0] != "Z"]


def _stat(pid: int) -> list[str]:
    """Return state, parent, group, session, ... of a process; empty if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()
