"""Which training answers for a compression: what ``rewa register`` registers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import text
from analysis.decision import decide
from analysis.summary import Summary
from rewa.errors import UserError
from rewa.methods import get_method
from rewa.registration.served_model import SPLITS


@dataclass(frozen=True)
class Chosen:
    """The setting to register, and what its training has on record at the compression.

    Attributes:
        ratio: The target compression, one that was measured.
        phase: "confirm", or "search" where nothing is confirmed.
        recalibrated: Whether the record is after batch-norm recalibration.
        recorded: ``val``, ``test``, ``compression`` and ``compression_total`` of this seed.
        run_id: Of the training.
        is_best: Whether no method's setting is better on validation.
    """

    ratio: float
    method: str
    trial: str
    phase: str
    seed: int
    config: dict[str, Any]
    recalibrated: bool
    recorded: dict[str, float]
    run_id: str
    is_best: bool


def choose(summary: Summary, compression: float, method: str | None) -> Chosen:
    """Return the setting that is best on validation at a compression, and its first seed's record.

    Args:
        summary: Of the sweep.
        compression: Answered by the next larger target where it was not measured itself.
        method: The only one to choose from; default: all.

    Raises:
        UserError: If no target is that large, or no such method or no setting of it was measured.
    """
    best = decide(summary, compression=compression)
    own = best.answers
    if method is not None:
        own = decide(summary, compression=compression, method=method).answers
    if own.empty:
        whose = f"method {method!r} of " if method is not None else ""
        raise UserError(f"{whose}sweep {summary.record.name!r} has no completed training to register")
    assert best.question.ratio is not None
    ratio = best.question.ratio
    row = own.iloc[0]
    identity = {"method": str(row["method"]), "trial": str(row["trial"]), "phase": str(row["phase"])}
    seed = int(row["first_seed"])
    runs = _matching(summary.record.runs, {**identity, "seed": seed})
    config = text.config_of(row.to_dict(), summary.record.config_columns)
    at = {"criterion": "ratio", "value": ratio, "recalibrated": summary.recalibrated}
    points = _matching(summary.record.frontier, {**identity, "seed": seed, **at}).set_index("split")
    return Chosen(
        ratio=ratio,
        **identity,
        seed=seed,
        config=get_method(identity["method"]).Config.parse(config, identity["trial"]).model_dump(),
        recalibrated=summary.recalibrated,
        recorded={
            **{split: float(points["metric"].loc[split]) for split in SPLITS if split in points.index},
            **{key: float(points[key].iloc[0]) for key in ("compression", "compression_total")},
        },
        run_id=str(runs["run_id"].iloc[0]),
        is_best=str(best.answers["trial"].iloc[0]) == identity["trial"],
    )


def aliases_of(chosen: Chosen) -> list[str]:
    """Return the aliases of a choice: ``best-100x`` if it is the best, and ``spred-100x``."""
    ratio = f"{chosen.ratio:g}x"
    names = [*(["best"] if chosen.is_best else []), chosen.method.rpartition(":")[2]]
    return [re.sub(r"[^\w-]", "_", f"{name}-{ratio}") for name in names]


def _matching(table: pd.DataFrame, wanted: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows that have these values."""
    keep = pd.Series(True, index=table.index)
    for name, value in wanted.items():
        keep &= table[name] == value
    return table[keep]
