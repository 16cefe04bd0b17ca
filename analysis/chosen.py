"""Which confirmation runs count: those of the settings that their sweep chose in the end.

A sweep that was extended by more trials may choose other settings than before. The earlier confirmations are
kept, on disk and in MLflow, but a method for which the choice changed must not have more confirmed settings
to pick from than the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.tables import section


def in_use(table: pd.DataFrame, meta: Mapping[str, Any]) -> pd.DataFrame:
    """Leave out the confirmations of settings that a later choice replaced.

    Args:
        table: Runs, or operating points of runs.
        meta: The sweep's description; ``confirmed`` has the chosen trials by method. Without it, or for
            methods it does not name, all confirmations count.
    """
    return table[~_is_replaced(table, meta)]


def replaced_note(runs: pd.DataFrame, meta: Mapping[str, Any]) -> str:
    """Say how many confirmation runs are not used; empty where all are."""
    left_out = runs[_is_replaced(runs, meta)]
    if left_out.empty:
        return ""
    settings = len(left_out[["method", "trial"]].drop_duplicates())
    noun = "setting" if settings == 1 else "settings"
    return f"{len(left_out)} runs of {settings} {noun} that later trials replaced are kept, but not used"


def _is_replaced(table: pd.DataFrame, meta: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """Mark the rows of settings that were confirmed and then replaced."""
    chosen = section(meta, "confirmed")
    found = (table["phase"] == "confirm").to_numpy() & table["method"].isin(list(chosen)).to_numpy()
    rows = np.flatnonzero(found)
    if len(rows):
        pairs = pd.MultiIndex.from_frame(table.iloc[rows][["method", "trial"]])
        wanted = [(method, trial) for method, trials in chosen.items() for trial in trials]
        found[rows] = ~pairs.isin(wanted) if wanted else True
    return found
