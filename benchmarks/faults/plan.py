"""What sweep a fault is injected into."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.faults.trivial import MARKED

MODULE = "benchmarks.faults.trivial"
SETTINGS, SEEDS = 1, 2
"""Settings per method that are confirmed, and their seeds."""


@dataclass(frozen=True)
class Plan:
    """A search space of trivial trainings.

    Attributes:
        trials: Per method.
        methods: Of :mod:`benchmarks.faults.trivial`.
        epochs: Of each training.
        pause: Seconds that an epoch takes longer.
        pack: Trials that share a worker.
        timeout: Seconds that a trial may take; ``None`` leaves the default.
        width: Hidden units.
        checkpoints: See :class:`benchmarks.faults.trivial.TrivialConfig`.
        at_once: Trials at once; cores of this machine are shared out for that.
    """

    trials: int = 6
    methods: Sequence[str] = ("steady", "lively")
    epochs: int = 3
    pause: float = 0.15
    pack: int = 1
    timeout: float | None = None
    width: int = 4
    checkpoints: Literal["rare", "every epoch"] = "rare"
    at_once: int = 2

    @property
    def searched(self) -> int:
        """Trainings of the search."""
        return self.trials * len(self.methods)

    @property
    def trainings(self) -> int:
        """All trainings: every method has a best setting, for its marked trial scores the worst."""
        return self.searched + len(self.methods) * SETTINGS * SEEDS

    @property
    def failing(self) -> dict[str, str]:
        """The methods whose marked trial must fail, and how its reason begins."""
        return {name: MARKED[name] for name in self.methods if name in MARKED}

    def space(self, folder: Path) -> dict[str, Any]:
        """Return the search space.

        Args:
            folder: Where the ledger is kept.
        """
        kind = "Trivial" if self.pack == 1 else "TrivialPack"
        return {
            "name": "faults",
            "workload": {
                "name": f"{MODULE}:{kind}",
                "folder": str(folder),
                "epochs": self.epochs,
                "batch_size": 64,
                "pause": self.pause,
                "width": self.width,
                "checkpoints": self.checkpoints,
            },
            "objective": {"max_compression": 5, "reference": 0.1},
            "trials": self.trials,
            "confirm": {"settings": SETTINGS, "seeds": SEEDS},
            "resources": {
                "cpu": cores() / self.at_once,
                **({"pack": self.pack} if self.pack > 1 else {}),
                **({} if self.timeout is None else {"timeout": self.timeout}),
            },
            "methods": {f"{MODULE}:{name.capitalize()}": _part(name) for name in self.methods},
        }


def _part(method: str) -> dict[str, Any]:
    """Return one method's distributions; a marked trial is its first."""
    part: dict[str, Any] = {"sample": {"lr": {"log_uniform": [0.05, 0.5]}}, "fixed": {"weight_decay": 0.0}}
    if method in MARKED:
        part["sample"]["fate"] = {"uniform": [0.0, 1.0]}
        part["known"] = [{"lr": 0.1, "fate": 0.0}]
    return part


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
