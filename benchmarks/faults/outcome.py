"""What came of a fault, in numbers, and which promises those numbers break."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """Counts after the sweep has ended, resumed where it had to be.

    Attributes:
        fault: Name of the fault.
        planned: Trainings of the plan.
        finished: Trainings that were finished when the fault struck; where several struck, the last.
        kept: How many of these are there in the end, content and time stamp unchanged.
        found: Results on disk in the end.
        twice_on_disk: Results of a training (method, settings, seed, phase) that has another one too.
        again: Trainings begun although their result was on disk already, by the trainings' own ledger.
        repeated: Trainings that came to their end more than once, by the ledger. One that is cut short
            between its end and its record has to be repeated: as many as were under way are allowed.
        at_risk: Trainings that can have been under way when the faults struck.
        twice_in_optuna: COMPLETE Optuna trials that have no result on disk, or not one each.
        missing_in_optuna: Search results on disk that no finished Optuna trial stands for.
        zombies_in_optuna: Optuna trials still RUNNING.
        twice_in_mlflow: MLflow runs beyond one for each result.
        missing_in_mlflow: Results on disk without a finished MLflow run.
        zombies_in_mlflow: MLflow runs still RUNNING.
        failing: Per method whose marked trial must fail, how the reason must begin.
        failed: Reasons of the failed records by method; those of one method are joined by " | ".
        attempts: How often a marked trial was begun, by method.
        attempts_allowed: At most so often.
        recovery: Seconds from each fault to the next result on disk.
        broken: Promises seen broken beside the counts.
        seconds: Wall time in all.
    """

    fault: str
    planned: int
    finished: int
    kept: int
    found: int
    twice_on_disk: int = 0
    again: int = 0
    repeated: int = 0
    at_risk: int = 0
    twice_in_optuna: int = 0
    missing_in_optuna: int = 0
    zombies_in_optuna: int = 0
    twice_in_mlflow: int = 0
    missing_in_mlflow: int = 0
    zombies_in_mlflow: int = 0
    failing: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)
    attempts_allowed: Mapping[str, int] = field(default_factory=dict)
    recovery: tuple[float, ...] = ()
    broken: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def duplicates(self) -> int:
        """All that is there twice, wherever."""
        return self.twice_on_disk + self.again + self.twice_in_optuna + self.twice_in_mlflow

    @property
    def zombies(self) -> int:
        """All that still counts as running."""
        return self.zombies_in_optuna + self.zombies_in_mlflow

    def plain(self) -> dict[str, Any]:
        """Return everything as plain data, with the promises broken."""
        return {**asdict(self), "promises_broken": judge(self)}


def judge(outcome: Outcome) -> list[str]:
    """Return the promises that an outcome breaks, a phrase each; empty if it keeps them all."""
    o = outcome
    found = [
        (o.finished and o.finished >= o.planned, f"the fault came too late: all {o.planned} had finished"),
        (o.kept != o.finished, f"{o.finished - o.kept} of {o.finished} finished trainings lost or rewritten"),
        (o.found != o.planned, f"{o.found} trainings at the end instead of {o.planned}"),
        (o.twice_on_disk, f"{o.twice_on_disk} trainings twice on disk"),
        (o.again, f"{o.again} trainings begun again although they were finished"),
        (
            o.repeated > o.at_risk,
            f"{o.repeated} trained to the end twice, at most {o.at_risk} were under way",
        ),
        (o.twice_in_optuna, f"{o.twice_in_optuna} trials too many in Optuna"),
        (o.missing_in_optuna, f"{o.missing_in_optuna} trials missing in Optuna"),
        (o.zombies_in_optuna, f"{o.zombies_in_optuna} trials still RUNNING in Optuna"),
        (o.twice_in_mlflow, f"{o.twice_in_mlflow} runs too many in MLflow"),
        (o.missing_in_mlflow, f"{o.missing_in_mlflow} runs missing in MLflow"),
        (o.zombies_in_mlflow, f"{o.zombies_in_mlflow} runs still RUNNING in MLflow"),
    ]
    promises = [text for is_broken, text in found if is_broken]
    for method in sorted({*o.failing, *o.failed}):
        reason, wanted = o.failed.get(method), o.failing.get(method)
        if wanted is None:
            promises.append(f"a trial of {method} failed: {reason}")
        elif reason is None:
            promises.append(f"the marked trial of {method} is not recorded as failed")
        elif not reason.startswith(wanted) or " | " in reason:
            promises.append(f"the trial of {method} failed by {reason!r} instead of {wanted!r}")
    for method, most in o.attempts_allowed.items():
        if (count := o.attempts.get(method, 0)) > most:
            promises.append(f"the marked trial of {method} was begun {count} times instead of at most {most}")
    return promises + list(o.broken)
