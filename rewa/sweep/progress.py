"""What a person sees while a sweep runs: one line on a terminal, a line now and then in a log.

``rewa status`` sees more of it: the same numbers are in the output directory's ``status.json``.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from rewa.record import Key, Record
from rewa.sweep.heartbeat import Heartbeat


class SweepProgress:
    """Counts finished trainings over all phases and estimates the time left.

    Args:
        total: Trainings in all, finished ones included; may be corrected with :meth:`set_total`.
        done: Trainings finished before.
        folder: The sweep's output directory, which is given signs of life; default: none are written.

    Attributes:
        interrupted: Whether the sweep ends before all is done, for ``rewa status``.
        untracked: Trainings that are not in MLflow yet, for ``rewa status``; ``None`` if nobody knows.
        cluster: What the cluster has ("CPU", "GPU"), for ``rewa status``.
    """

    def __init__(self, total: int, done: int, folder: Path | None = None) -> None:
        self.total, self.done = total, done
        self.interrupted = False
        self.untracked: int | None = None
        self.cluster: dict[str, float] = {}
        self._running: dict[Key, str] = {}
        self._heartbeat = Heartbeat(folder, self._state) if folder else None
        self.here = 0
        self.phase = "starting"
        self.best: dict[str, float] = {}
        self.states: Counter[str] = Counter()
        self.started = time.monotonic()
        self._last_line = 0.0
        self._console = Console(stderr=True)
        self._bar: Progress | None = None

    def __enter__(self) -> SweepProgress:
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.fields[phase]}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[left]}  {task.fields[best]}"),
                console=self._console,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=self.total, **self._fields())
        self._refresh()
        if self._heartbeat:
            self._heartbeat.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._refresh()
            self._bar.stop()
        if not self._heartbeat:
            return
        if error is None:
            self._heartbeat.stop("interrupted" if self.interrupted else "finished")
        elif isinstance(error, Exception):
            self._heartbeat.stop("error", f"{type(error).__name__}: {error}"[:1000])
        else:
            self._heartbeat.stop("interrupted")

    def set_total(self, total: int) -> None:
        """Correct the number of trainings."""
        self.total = total
        self._refresh()

    def start_phase(self, phase: str) -> None:
        """Name what is being done from now on."""
        self.phase = phase
        self._refresh(force=True)
        self._beat()

    def seen(self, record: Record) -> None:
        """Count a training that was finished before this run."""
        self._count(record)

    def began(self, key: Key, method: str) -> None:
        """Note a training that a worker was given, for ``rewa status``."""
        self._running[key] = method
        self._beat()

    def stopped(self, key: Key) -> None:
        """Note that a training does not run any more, though it did not finish: its worker was lost."""
        self._running.pop(key, None)
        self._beat()

    def finished(self, record: Record) -> None:
        """Count a training that finished now."""
        self._running.pop(record.key, None)
        if self.here == 0:  # the estimate should not include start-up
            self.started = min(time.monotonic() - record.seconds, time.monotonic())
        self.done += 1
        self.here += 1
        self._count(record)
        self._refresh()
        self._beat()

    def message(self, text: str) -> None:
        """Print a line above the bar."""
        console = self._bar.console if self._bar else self._console
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _count(self, record: Record) -> None:
        self.states[record.status] += 1
        if record.phase == "search" and record.score is not None:
            self.best[record.method] = max(self.best.get(record.method, 0.0), record.score)

    def _fields(self) -> dict[str, Any]:
        best = "  ".join(f"{name} {value:.3f}" for name, value in self.best.items())
        return {
            "phase": self.phase,
            "left": self._left(),
            "best": f"best score: {best}" if best else "",
        }

    def _beat(self) -> None:
        if self._heartbeat:
            self._heartbeat.beat()

    def _state(self) -> dict[str, Any]:
        """Return what ``rewa status`` cannot see in the directory itself."""
        by_method = Counter(list(self._running.values()))
        return {
            "phase": self.phase,
            "total": self.total,
            "done": self.done,
            "done_here": self.here,
            "seconds_here": time.monotonic() - self.started if self.here else 0.0,
            "running": dict(by_method),
            "untracked": self.untracked,
            "cluster": self.cluster,
        }

    def _left(self) -> str:
        left = self.total - self.done
        if left <= 0:
            return "done"
        if not self.here:
            return "estimating time"
        seconds = (time.monotonic() - self.started) / self.here * left
        amount = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
        return f"about {amount} left"

    def _refresh(self, force: bool = False) -> None:
        """Redraw the bar, or print a line if the last one is a while ago."""
        fields = self._fields()
        if self._bar:
            self._bar.update(self._task, completed=self.done, total=self.total, **fields)
        elif force or time.monotonic() - self._last_line >= 15 or self.done == self.total:
            self._last_line = time.monotonic()
            counted = f"{self.phase}: {self.done}/{self.total} trainings, {fields['left']}"
            bad = ", ".join(f"{n} {s}" for s, n in self.states.items() if s != "completed")
            self._console.print(
                "; ".join(part for part in (counted, fields["best"], bad) if part),
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
