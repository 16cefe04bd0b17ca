"""Progress of a benchmark on stderr: a bar on a terminal, a line every quarter of a minute in a log."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY = 15.0
"""Seconds between lines in a log."""


class Meter:
    """Counts work done, in parts of a whole.

    Args:
        name: What is being done.
        total: How much there is.
        unit: What is counted.
    """

    def __init__(self, name: str, total: float, unit: str = "runs") -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = self.before = 0.0
        self._started = self._last = time.monotonic()
        console = Console(stderr=True)
        self._console = console
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TextColumn(f"{{task.completed:.0f}}/{{task.total:.0f}} {unit}"),
                TimeRemainingColumn(),
                console=console,
            )

    def __enter__(self) -> Meter:
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task(self.name, total=self.total)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()
        elif self.done > self.before:
            self._line()

    def skip(self, amount: float) -> None:
        """Count work that was done earlier, which says nothing about speed."""
        self.before += amount
        self.advance(amount)

    def advance(self, amount: float) -> None:
        """Count work done now."""
        self.done += amount
        if self._bar:
            self._bar.update(self._task, completed=self.done)
        elif time.monotonic() - self._last >= LINE_EVERY:
            self._line()

    def _line(self) -> None:
        self._last = time.monotonic()
        here = self.done - self.before
        left = self.total - self.done
        ends = ""
        if here > 0 and left > 1e-6:
            seconds = (self._last - self._started) / here * left
            ends = f", about {seconds / 60:.0f} min left" if seconds > 90 else f", about {seconds:.0f} s left"
        text = f"{self.name}: {self.done:.0f}/{self.total:.0f} {self.unit}{ends}"
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
