"""What a person sees while a sweep runs: one line on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from rewa.record import Record


class SweepProgress:
    """Counts finished trainings over all phases and estimates the time left.

    Args:
        total: Trainings in all, finished ones included; may be corrected with :meth:`set_total`.
        done: Trainings finished before.
    """

    def __init__(self, total: int, done: int) -> None:
        self.total, self.done = total, done
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
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._refresh()
            self._bar.stop()

    def set_total(self, total: int) -> None:
        """Correct the number of trainings."""
        self.total = total
        self._refresh()

    def start_phase(self, phase: str) -> None:
        """Name what is being done from now on."""
        self.phase = phase
        self._refresh(force=True)

    def seen(self, record: Record) -> None:
        """Count a training that was finished before this run."""
        self._count(record)

    def finished(self, record: Record) -> None:
        """Count a training that finished now."""
        if self.here == 0:  # the estimate should not include start-up
            self.started = min(time.monotonic() - record.seconds, time.monotonic())
        self.done += 1
        self.here += 1
        self._count(record)
        self._refresh()

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
