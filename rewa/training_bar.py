"""The progress of one training on stderr: steps done, what is left, and the newest metric."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from rewa.descent import Epoch
from rewa.training import Watch
from rewa.workloads import Workload

REFRESH = 0.1
"""Seconds between updates of the bar; steps can be much shorter."""
LINE_EVERY = 30.0
"""Seconds between lines where stderr is no terminal."""


class TrainingBar:
    """A bar on a terminal; in a log, a line now and then.

    Args:
        workload: What is trained.
        shown: Whether to show anything; one of several processes does.
    """

    def __init__(self, workload: Workload, shown: bool = True) -> None:
        self._metric = workload.metric.name
        self._epochs = int(workload.config.epochs)
        self._steps = workload.total_steps
        self._console = Console(stderr=True, quiet=not shown)
        self._terminal = self._console.is_terminal
        self._bar = Progress(
            TextColumn("{task.fields[phase]}"),
            BarColumn(bar_width=12),
            TextColumn("{task.completed:.0f}/{task.total:.0f}", table_column=Column(no_wrap=True)),
            TimeRemainingColumn(),
            TextColumn("{task.description}", table_column=Column(no_wrap=True, ratio=1)),
            console=self._console,
            disable=not self._terminal,
        )
        self._task = self._bar.add_task("", total=self._steps, phase="training")
        self._phase, self._text = "training", ""
        self._begun = self._shown = time.monotonic()
        self._from = 0

    @property
    def watch(self) -> Watch:
        """Callbacks that draw it."""
        return Watch(self._epoch, self._step, self._begin, self._step)

    def __enter__(self) -> TrainingBar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _begin(self, phase: str) -> None:
        """Start a bar of its own for a new phase; its first step tells its length."""
        self._phase = phase
        self._begun = self._shown = time.monotonic()
        self._from = -1
        self._bar.reset(self._task, phase=phase, description="")

    def _epoch(self, epoch: Epoch) -> None:
        self._text = (
            f"epoch {epoch.epoch}/{self._epochs} loss {epoch.train_loss:.4f} "
            f"val {self._metric} {epoch.val_metric:.4f}"
        )
        self._bar.update(self._task, description=self._text)

    def _step(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._from < 0:  # the first step of this process, also after a resumption
            self._from = done - 1
        if self._terminal:
            if now - self._shown >= REFRESH or done in (self._from + 1, total):
                self._shown = now
                self._bar.update(self._task, completed=done, total=total)
        elif now - self._shown >= LINE_EVERY:
            self._shown = now
            left = (now - self._begun) / (done - self._from) * (total - done)
            text = f"{self._phase}: step {done}/{total}, about {left:.0f} s left  {self._text}"
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)
