"""What each method of a sweep has got, and what is best so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewa.status.plain import texts, whole
from rewa.status.trainings import Training


@dataclass(frozen=True)
class Best:
    """The trial of the search with the highest score."""

    trial: str
    score: float
    config: dict[str, Any]


@dataclass(frozen=True)
class MethodState:
    """Counts of one method.

    Attributes:
        planned: Trials of the search in all.
        completed: Trials of the search by how they ended, ``diverged`` and ``failed`` likewise.
        diverged: See ``completed``.
        failed: See ``completed``.
        running: Trainings that a worker has now, of search or confirmation.
        confirm_planned: Confirmation runs at most.
        confirmed: Confirmation runs that have finished.
        best: The best trial; ``None`` while none has completed.
    """

    planned: int
    completed: int
    diverged: int
    failed: int
    running: int
    confirm_planned: int
    confirmed: int
    best: Best | None

    @property
    def searched(self) -> int:
        """Finished trials of the search."""
        return self.completed + self.diverged + self.failed


def method_states(
    meta: Mapping[str, Any], trainings: Sequence[Training], running: Mapping[str, Any]
) -> dict[str, MethodState]:
    """Count the trainings by method, in the order of the sweep's description.

    Args:
        meta: The sweep's description; where it lacks something, nothing is planned.
        trainings: The finished ones.
        running: Running trainings by method.
    """
    own: dict[str, list[Training]] = {name: [] for name in texts(meta, "methods")}
    for training in trainings:
        own.setdefault(training.method, []).append(training)
    planned = whole(meta, "trials_per_method") or 0
    seeds = meta.get("confirm_seeds")
    settings = whole(meta, "confirm_settings") or 0
    again = settings * len(seeds) if isinstance(seeds, list) else 0
    found = {}
    for name, mine in own.items():
        search = [training for training in mine if training.phase == "search"]
        found[name] = MethodState(
            planned=planned,
            completed=_count(search, "completed"),
            diverged=_count(search, "diverged"),
            failed=_count(search, "failed"),
            running=whole(running, name) or 0,
            confirm_planned=again,
            confirmed=len(mine) - len(search),
            best=_best(search),
        )
    return found


def _count(trainings: Sequence[Training], status: str) -> int:
    return sum(training.status == status for training in trainings)


def _best(search: Sequence[Training]) -> Best | None:
    """Return the best trial; of equal ones the first."""
    scored = [
        (training.score, training)
        for training in search
        if training.status == "completed" and training.score is not None
    ]
    if not scored:
        return None
    highest = max(score for score, _ in scored)
    first = min((t for score, t in scored if score == highest), key=lambda training: training.trial)
    return Best(first.trial, highest, first.config)
