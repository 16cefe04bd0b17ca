"""The commands that a reader of a report may want next."""

from __future__ import annotations

import shlex

from analysis.headline import main_ratio
from analysis.merged import merged_sweeps
from analysis.summary import Summary
from analysis.tables import FOCUS


def next_steps(summary: Summary) -> list[tuple[str, str]]:
    """Pairs of what for and which command.

    Merged and hand-made records have none: they have no name to ask by.
    """
    record = summary.record
    if merged_sweeps(record.meta) or not record.meta.get("sweep") or summary.settings.empty:
        return []
    name = shlex.quote(record.name)
    measured = set(summary.settings["value"].astype(float))
    able = [ratio for ratio in summary.ratios if ratio in measured] or sorted(measured)
    main = main_ratio(able)
    steps = [("the setting for another compression", f"rewa best {name} --compression {main:g}")]
    if summary.metric.is_share:
        if summary.dense is not None:
            steps.append(("the most compression for a loss", f"rewa best {name} --max-drop 1"))
    else:
        span = summary.metric.gain(summary.metric.ideal, summary.metric.chance)
        steps.append(("the most compression for a loss", f"rewa best {name} --max-drop {0.05 * span:.4g}"))
    method = FOCUS if FOCUS in summary.methods else summary.methods[0]
    steps.append(
        (
            "which penalty gives which sparsity",
            f"rewa calibrate {name} --method {method} --compression {main:g}",
        )
    )
    steps.append(("the model, into MLflow's registry", f"rewa register {name} --compression {main:g}"))
    steps.append(("the runs in the MLflow UI", f"rewa ui --sweep {name}"))
    return steps
