"""Searches whose scores are known functions of what was drawn, for the tests of the evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from synthetic import CONFIG, META, Record, run_row

Draw = Mapping[str, Any]
SPACE: dict[str, dict[str, Any]] = {
    "a": {"uniform": [0.0, 1.0]},
    "b": {"uniform": [0.0, 1.0]},
    "c": {"log_uniform": [1.0e-4, 1.0]},
    "k": {"choice": [3, 5, 7, 9]},
}


def drawn(count: int, seed: int = 0, names: Sequence[str] = ("a", "b", "c", "k")) -> list[dict[str, Any]]:
    """Independent draws from `SPACE`."""
    rng = np.random.default_rng(seed)
    every = [
        {
            "a": float(rng.random()),
            "b": float(rng.random()),
            "c": float(10.0 ** rng.uniform(-4.0, 0.0)),
            "k": int(rng.choice([3, 5, 7, 9])),
        }
        for _ in range(count)
    ]
    return [{name: row[name] for name in names} for row in every]


def searched(
    draws: Sequence[Draw],
    score: Callable[[Draw], float | None],
    *,
    method: str = "rewa",
    fails: Callable[[Draw], bool] = lambda _: False,
    space: Mapping[str, Any] = SPACE,
    on_record: bool = True,
) -> Record:
    """A search of one method; trials that fail have no score on record."""
    runs, rows = [], []
    for number, draw in enumerate(draws):
        bad = fails(draw)
        changes = {
            "score": None if bad else score(draw),
            "status": "diverged" if bad else "completed",
            "reason": "the training loss became nan in epoch 3" if bad else "",
        }
        fixed = dict.fromkeys(CONFIG, np.nan)
        own = {name: value for name, value in draw.items() if name in CONFIG}
        runs.append({**run_row(method, number, 0, "search", **changes), **fixed, **own})
        rows.append({"method": method, "trial": f"{method}-{number:04d}", **draw})
    table = pd.DataFrame(
        rows if on_record else [],
        columns=["method", "trial", *dict.fromkeys(name for draw in draws for name in draw)],
    )
    meta = {**META, "methods": [method], "space": {"methods": {method: {"sample": dict(space)}}}}
    empty = pd.DataFrame(columns=["method", "trial", "phase", "split", "criterion", "value"])
    return Record("planted", meta, pd.DataFrame(runs), empty, list(CONFIG), draws=table)
