"""From a calibrated knob to settings: one that was trained, with what it reached, and one not trained yet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import text
from analysis.calibration.fit import Calibration, Placed
from analysis.commands import train_line
from analysis.decision import measured_target
from analysis.pareto import best_first, mean_frontier
from rewa.errors import UserError
from rewa.methods import get_method

NEAR = 2.0
"""A trial is near a target if it reached that up to this factor."""
SAME = 1.02
"""Values of a knob within this factor are the same."""


@dataclass(frozen=True)
class Setting:
    """A setting that was trained.

    Attributes:
        row: Of the settings table at the smallest measured target that is at least the one asked for.
        knob: Its value of the calibrated knob; NaN where it has none.
        reached: The compression that its training of the search reached.
        near: Among how many trials near the target it is the best on validation; 0 where none was near, and
            it is the one that comes nearest.
    """

    row: dict[Any, Any]
    knob: float
    reached: float
    near: int

    @property
    def trial(self) -> str:
        """Name of the setting."""
        return str(self.row["trial"])


@dataclass(frozen=True)
class Suggestion:
    """A setting that nobody has trained: a trained one with another penalty.

    Attributes:
        changed: Name of the setting that differs.
        value: Its value.
        command: Its ``rewa train`` line.
    """

    changed: str
    value: float
    command: str


def trained_setting(calibration: Calibration, target: float) -> Setting | None:
    """The setting to take for a target: of the trials that reached about that, the best on validation there.

    It is chosen by the search's own runs, all on one seed. Where it was confirmed, the row returned is that
    of its confirmation.

    Args:
        calibration: What `calibrate` returned.
        target: Compression.

    Returns:
        The setting; None where the target is beyond all that was measured, or nothing was fitted.
    """
    summary, fitted = calibration.summary, calibration.fitted
    try:
        measured = measured_target(summary, target)
    except UserError:
        return None
    distance = fitted["reached"].astype(float).map(lambda reached: abs(math.log(reached / target)))
    near = fitted[distance <= math.log(NEAR) + 1e-9]
    pool = near if len(near) else fitted.loc[distance.sort_values(kind="stable").index[:1]]
    points = summary.record.frontier
    searched = points[(points["method"] == calibration.method) & (points["phase"] != "confirm")]
    every = mean_frontier(
        searched, summary.record.config_columns, summary.metric, recalibrated=summary.recalibrated
    )
    here = every[(every["value"] == measured) & every["trial"].isin(pool["trial"])]
    ranked = best_first(here, summary.metric)
    if ranked.empty:
        return None
    row = ranked.iloc[0].to_dict()
    own = fitted[fitted["trial"] == row["trial"]].iloc[0]
    again = _confirmed(calibration, measured)
    again = again[again["trial"] == row["trial"]]
    return Setting(
        again.iloc[0].to_dict() if len(again) else row,
        float(own[calibration.by]),
        float(own["reached"]),
        len(near),
    )


def nearest_confirmed(calibration: Calibration, placed: Placed) -> Setting | None:
    """The confirmed setting whose knob is nearest to a calibrated value, and its row at the target."""
    try:
        measured = measured_target(calibration.summary, placed.target)
    except UserError:
        return None
    rows = _confirmed(calibration, measured)
    known = calibration.fitted.drop_duplicates("trial").set_index("trial")
    rows = rows[rows["trial"].isin(known.index)]
    if rows.empty or math.isnan(placed.value):
        return None
    knobs = known.loc[rows["trial"], calibration.by].astype(float).to_numpy()
    gaps = np.abs(np.log(knobs / placed.value)) if calibration.log else np.abs(knobs - placed.value)
    first = int(np.argmin(gaps))
    row = rows.iloc[first].to_dict()
    return Setting(row, float(knobs[first]), float(known.loc[row["trial"], "reached"]), 0)


def suggestion(calibration: Calibration, placed: Placed, base: Setting) -> Suggestion | None:
    """What to train to have the calibrated value, the other settings being those of a trained one.

    The budget is in proportion to the penalty, so the penalty is scaled.

    Args:
        calibration: What `calibrate` returned.
        placed: A target that has a value.
        base: Whose other settings are taken.

    Returns:
        The setting; None where the base has the value already, or the knob is neither the budget nor a
        setting of the method, or the method refuses it.
    """
    if math.isnan(placed.value) or _is_same(placed.value, base.knob):
        return None
    record, name = calibration.summary.record, calibration.by
    config = text.config_of(base.row, record.config_columns)
    penalty = calibration.knobs.penalty
    if name == calibration.knobs.budget and penalty in config and base.knob > 0.0:
        assert penalty is not None
        changed, value = penalty, float(config[penalty]) * placed.value / base.knob
    elif name in config:
        changed, value = name, placed.value
    else:
        return None
    value = float(f"{value:.3g}")
    try:
        get_method(calibration.method).from_values({**config, changed: value})
    except UserError:
        return None
    return Suggestion(changed, value, train_line(record, base.row, {changed: value}))


def _confirmed(calibration: Calibration, measured: float) -> pd.DataFrame:
    """The method's confirmed settings at a measured target."""
    rows = calibration.summary.settings
    return rows[
        (rows["method"] == calibration.method) & (rows["phase"] == "confirm") & (rows["value"] == measured)
    ]


def _is_same(one: float, other: float) -> bool:
    if one <= 0.0 or other <= 0.0:
        return one == other
    return abs(math.log(one / other)) < math.log(SAME)
