"""A small sweep's output directory, for the tests of `rewa status`."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console
from test_sweep_folder import record

from rewa.status.state import Status
from rewa.status.view import view
from rewa.sweep.folder import SweepFolder
from rewa.sweep.progress import SweepProgress

META: dict[str, Any] = {
    "sweep": "tiny",
    "command": "rewa sweep tiny.yaml --trials 3 --tracking-uri sqlite:///runs.db --output old",
    "methods": ["rewa", "sgd_l1"],
    "trials_per_method": 3,
    "confirm_settings": 1,
    "confirm_seeds": [1, 2],
}
TOTAL = 2 * 3 + 2 * 2


def fill(folder: SweepFolder) -> None:
    """Everything that is planned."""
    for method in META["methods"]:
        for number in range(3):
            folder.save(record(str(method), number))
        for seed in (1, 2):
            folder.save(record(str(method), 2, "confirm", seed=seed))


def shown(status: Status, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(view(status), crop=False)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def run(folder: SweepFolder, done: int = 0) -> SweepProgress:
    return SweepProgress(TOTAL, done, folder.path)
