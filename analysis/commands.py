"""The commands that train the recommended settings again."""

from __future__ import annotations

from typing import Any

from analysis import text
from analysis.summary import Summary
from analysis.tables import is_solver, natural, section

WORKLOAD_UNKNOWN = "WORKLOAD"


def commands(summary: Summary) -> list[dict[str, str]]:
    """One command per setting that answers some question, with the anchor it stands under on the page."""
    meta = summary.record.meta
    workload, space = section(meta, "workload"), section(meta, "space")
    cores = section(space, "resources").get("cpu", 1)
    threads = max(1, int(cores))  # the last bits of a training depend on it
    epochs = int(workload["epochs"]) if workload.get("epochs") else None
    name = str(workload.get("name") or WORKLOAD_UNKNOWN)
    own_settings = workload_settings(meta)
    chosen = summary.answers[summary.answers["seeds"] > 0].drop_duplicates(["method", "trial"])
    rows: list[dict[str, str]] = []
    for method in summary.methods:
        # A solver has no epochs, and its result does not depend on the threads.
        recipe = (None, 1) if is_solver(method) else (epochs, threads)
        own = chosen[chosen["method"] == method]
        for row in own.sort_values("trial", key=natural).to_dict("records"):
            config = text.config_of(row, summary.record.config_columns)
            seed = int(row["first_seed"])
            line = text.train_command(name, method, config, recipe[0], seed, recipe[1], own_settings)
            anchor = f"setting-{len(rows) + 1}"
            names = {"trial": str(row["trial"]), "method": method}
            rows.append({**names, "anchor": anchor, "command": line})
    return rows


def workload_settings(meta: dict[str, Any]) -> dict[str, Any]:
    """The workload's settings as the search space gives them, without its name and the epochs."""
    given = section(section(meta, "space"), "workload")
    return {key: value for key, value in given.items() if key not in ("name", "epochs")}
