"""The commands that train the recommended settings again."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from analysis import text
from analysis.summary import Summary
from analysis.tables import SweepRecord, is_solver, natural, section

WORKLOAD_UNKNOWN = "WORKLOAD"


def commands(summary: Summary) -> list[dict[str, str]]:
    """One command per setting that answers some question, with the anchor it stands under on the page."""
    chosen = summary.answers[summary.answers["seeds"] > 0].drop_duplicates(["method", "trial"])
    rows: list[dict[str, str]] = []
    for method in summary.methods:
        own = chosen[chosen["method"] == method]
        for row in own.sort_values("trial", key=natural).to_dict("records"):
            anchor = f"setting-{len(rows) + 1}"
            names = {"trial": str(row["trial"]), "method": method}
            rows.append({**names, "anchor": anchor, "command": train_line(summary.record, row)})
    return rows


def train_line(
    record: SweepRecord, row: Mapping[Hashable, Any], changes: Mapping[str, Any] | None = None
) -> str:
    """The exact ``rewa train`` command of a setting.

    Args:
        record: The sweep.
        row: A row of `mean_frontier`: method, first_seed and the config columns are read.
        changes: Settings of the method that replace the row's.
    """
    meta, method = record.meta, str(row["method"])
    workload, space = section(meta, "workload"), section(meta, "space")
    threads = max(1, int(section(space, "resources").get("cpu", 1)))  # a training's last bits depend on it
    epochs = int(workload["epochs"]) if workload.get("epochs") else None
    if is_solver(method):  # it has no epochs, and its result does not depend on the threads
        threads, epochs = 1, None
    config = {**text.config_of(row, record.config_columns), **(changes or {})}
    return text.train_command(
        workload_name(meta), method, config, epochs, int(row["first_seed"]), threads, workload_settings(meta)
    )


def workload_name(meta: Mapping[str, Any]) -> str:
    """The name to train a sweep's workload by: the search space's, which may be a class of the user's own."""
    given = section(section(meta, "space"), "workload").get("name")
    return str(given or section(meta, "workload").get("name") or WORKLOAD_UNKNOWN)


def workload_settings(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The workload's settings as the search space gives them, without its name and the epochs."""
    given = section(section(meta, "space"), "workload")
    return {key: value for key, value in given.items() if key not in ("name", "epochs")}
