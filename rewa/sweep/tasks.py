"""What Tune is given to run: tasks of the search and the confirmation, and again those that were lost."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ray.tune.search import Searcher

from rewa.record import Key, Record
from rewa.sweep.trial import TrialSpec, failed_trial

OnSpec = Callable[[TrialSpec], None]

METRIC, MODE = "score", "max"

MAX_LOSSES = 3
"""How many workers a trial may take down with it."""

GIVE_UP_AFTER = 6
"""Workers lost in a row, and as many more as run at once, without a single training coming to its end."""


class Proposals(Protocol):
    """What tasks come from."""

    def propose(self) -> list[TrialSpec]:
        """Return the trials of the next task; empty when there are no more."""


class Search(Proposals, Protocol):
    """Tasks that depend on how earlier ones ended."""

    def tell(self, trial: str, score: float | None) -> None:
        """Take the score of a trial whose record is kept."""


@dataclass(frozen=True)
class Loss:
    """How a worker came to its end before its task.

    Attributes:
        reason: One sentence.
        node_died: The machine went, and the worker with it: nothing that a trial could be blamed for.
        timed_out: The worker ended itself because the task took too long.
        silent: It was ended without a last word, its interpreter being held by compiled code.
    """

    reason: str
    node_died: bool = False
    timed_out: bool = False
    silent: bool = False


class Tasks(Searcher):
    """Tune's searcher: tells it the next task, and does again what was lost.

    A lost task's unfinished trials come again: together where the machine died, otherwise each in a task of
    its own and last, so that the one that takes its worker down is found. That one is recorded as failed at
    its third loss; nothing is held against the others. Tune itself tries nothing again.

    Args:
        search: The search.
        confirm: Called once, when every task of the search has ended; returns what follows.
        limit: How many tasks may run at once; asked each time.
        began: Told of every trial that is given out.
        stopped: Told of every trial that does not run any more without having finished.
    """

    def __init__(
        self,
        search: Search,
        confirm: Callable[[], Proposals],
        limit: Callable[[], int],
        began: OnSpec = lambda _: None,
        stopped: OnSpec = lambda _: None,
    ) -> None:
        super().__init__(metric=METRIC, mode=MODE)
        self.search, self.confirm, self.limit = search, confirm, limit
        self.began, self.stopped = began, stopped
        self.running: dict[str, dict[Key, TrialSpec]] = {}
        self.losses: Counter[Key] = Counter()
        self.gave_up: str = ""
        self._again: deque[list[TrialSpec]] = deque()
        self._suspects: deque[TrialSpec] = deque()
        self._listed: Proposals | None = None
        self._lost_in_a_row = 0

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its searcher and never reads it back here

    def suggest(self, trial_id: str) -> Any:
        """Return the next task; ``None``, not yet, while those that run may leave something to do again."""
        if self.gave_up:
            return Searcher.FINISHED
        if len(self.running) >= self.limit():
            return None
        specs = self._next()
        if not specs:
            return None if self.running else Searcher.FINISHED
        self.running[trial_id] = {spec.key: spec for spec in specs}
        for spec in specs:
            self.began(spec)
        return {"specs": [spec.model_dump() for spec in specs]}

    def finished(self, trial_id: str, record: Record) -> None:
        """Note that a trial's record is kept."""
        self._lost_in_a_row = 0
        self.running.get(trial_id, {}).pop(record.key, None)
        if record.phase == "search":
            self.search.tell(record.trial, record.score)

    def allowed(self, trial_id: str) -> float:
        """Return how many seconds what is left of a task may take at least."""
        return sum(spec.timeout for spec in self.running.get(trial_id, {}).values())

    def lost(self, trial_id: str, loss: Loss) -> list[Record]:
        """Do a lost task's unfinished trials again, and return the records of those that must not be.

        The records are to be kept, and then told to :meth:`finished`.
        """
        specs = list(self.running.pop(trial_id, {}).values())
        if not specs:
            return []
        for spec in specs:
            self.stopped(spec)
        self._lost_in_a_row += not loss.timed_out
        if self._lost_in_a_row >= GIVE_UP_AFTER + len(self.running):
            self.gave_up = loss.reason
            return []
        if loss.node_died:
            self._again.append(specs)
            return []
        if len(specs) == 1 and loss.silent:
            late = f"timed out after {specs[0].timeout:g} s in compiled code that never returned"
            return [failed_trial(specs[0], late)]
        if len(specs) > 1 or loss.timed_out:
            self._suspects.extend(specs)
            return []
        (spec,) = specs
        self.losses[spec.key] += 1
        if self.losses[spec.key] < MAX_LOSSES:
            self._suspects.append(spec)
            return []
        return [failed_trial(spec, f"its worker was lost {MAX_LOSSES} times ({loss.reason})")]

    def _next(self) -> list[TrialSpec]:
        """Return the next task; empty if there is none now.

        Suspects come last: where no worker can live, new trials show it before any is given up.
        """
        if self._again:
            return self._again.popleft()
        if specs := (self.search if self._listed is None else self._listed).propose():
            return specs
        if self._suspects:
            return [self._suspects.popleft()]
        if self._listed is None and not self.running:
            self._listed = self.confirm()
            return self._listed.propose()
        return []

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Do nothing: Tune tells its searcher before the callback that keeps the records."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Forget a task that ended; what became of one that did not is told to :meth:`lost`."""
        if not error:
            self.running.pop(trial_id, None)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: finished trials are known from the output directory."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing; see :meth:`save`."""
