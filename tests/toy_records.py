"""Records of trainings that never ran, for the tests of what is done with records."""

from __future__ import annotations

from rewa.descent import Epoch
from rewa.record import Record
from rewa.sparsity.frontier import OperatingPoint


def record(trial: str = "rewa-0000", phase: str = "search", seed: int = 0, **other: object) -> Record:
    """A completed digits training of the sweep ``s`` with six operating points; ``other`` replaces fields."""
    points = [
        OperatingPoint(split, criterion, value, compression, compression / 2, accuracy)
        for split in ("val", "test")
        for criterion, value, compression, accuracy in [
            ("ratio", 1.0, 1.0, 0.97),
            ("ratio", 100.0, 101.5, 0.9),
            ("threshold", 0.5, float("inf"), 0.1),
        ]
    ]
    values = {
        "sweep": "s",
        "workload": {"name": "digits", "epochs": 2},
        "method": trial.split("-")[0],
        "trial": trial,
        "phase": phase,
        "seed": seed,
        "config": {"lr": 0.1, "K": 9.0},
        "status": "completed",
        "score": 0.5,
        "seconds": 1.5,
        "metrics": {"test_accuracy/at_100x": 0.9},
        "history": [Epoch(1, 2.0, 0.5, 0.1), Epoch(2, 1.0, 0.9, 0.05)],
        "frontier": points,
        "versions": {"torch": "x"},
        "commit": "abc",
        "hardware": "none",
        **other,
    }
    return Record.model_validate(values)
