"""Several sweeps of one search space as one: their records pooled, what they share counted once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pandas as pd

from analysis import text
from analysis.tables import SweepRecord, order_methods, section
from rewa.errors import UserError
from rewa.sweep.changes import all_differences
from rewa.sweep.space import space_from_values
from rewa.sweep_tables import CONFIG_ORDER, FRONTIER_COLUMNS, LAYER_COLUMNS, ORDER, RUN_COLUMNS
from rewa.sweep_tables import SweepRecord as PooledRecord

RUN_KEY = ["method", "trial", "phase", "seed"]
FREE = ("name", "trials", "seed", "confirm", "resources")
"""Parts of a search space in which sweeps that are merged may differ; so may methods' known settings."""


def merge(records: Sequence[SweepRecord]) -> SweepRecord:
    """Pool the records of sweeps of one space.

    Trials are named after their sweep, ``a/rewa-0003``. A training that two sweeps have, the same setting
    with the same seed in the same phase, is counted once: where its trial has more runs of that phase, and
    else in the sweep that comes first. Budgets add up.

    Args:
        records: At least one; of one, it is returned as it is.

    Returns:
        The pooled record, named ``a + b``. Its ``meta`` describes all sweeps; ``merged`` lists them, with
        what each spent, and ``shared`` counts the trainings that were left out.

    Raises:
        UserError: If two have the same name, or the spaces or workloads differ; the sentence says in what.
    """
    if len(records) == 1:
        return records[0]
    names = [record.name for record in records]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--sweep {name}: is named twice; a merged report takes different sweeps")
    for record in records[1:]:
        _check_same_space(records[0], record)
    given = {column for record in records for column in record.config_columns}
    known = [column for column in CONFIG_ORDER if column in given]
    first_seen = [column for record in records for column in record.config_columns]
    columns = list(dict.fromkeys([*known, *first_seen]))
    runs = _pooled([_named(record.runs, record.name) for record in records])
    kept = runs[~_repeated(runs, columns, names)]
    frontier = _pooled([_named(record.frontier, record.name) for record in records])
    layers = _pooled([_named(record.layers, record.name) for record in records])
    draws = _pooled([_named(record.draws, record.name) for record in records], ("method", "trial"))
    return PooledRecord(
        name=" + ".join(names),
        meta=_meta(records, kept),
        runs=kept.reindex(columns=[*RUN_COLUMNS, *columns]).reset_index(drop=True),
        frontier=_of_runs(frontier, kept).reindex(columns=[*FRONTIER_COLUMNS, *columns]),
        layers=_of_runs(layers, kept).reindex(columns=list(LAYER_COLUMNS)),
        draws=_of_runs(draws, kept, ["method", "trial"]),
        config_columns=columns,
    )


def _check_same_space(one: SweepRecord, other: SweepRecord) -> None:
    """Refuse to merge sweeps that did not search the same."""
    for record in (one, other):
        if not section(record.meta, "space"):
            raise UserError(f"--sweep {record.name}: has no search space on record, so it cannot be merged")
    old, new = section(one.meta, "workload"), section(other.meta, "workload")
    both = [key for key in old if key in new]  # a later version may tell more
    for what, found in (
        ("search spaces", all_differences(_searched(one.meta), _searched(other.meta))),
        ("workloads", all_differences({k: old[k] for k in both}, {k: new[k] for k in both})),
    ):
        if found:
            raise UserError(
                f"the sweeps {one.name!r} and {other.name!r} cannot be merged: their {what} differ ({found})"
            )


def _searched(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a search space that says what is searched, not how much or where."""
    space = section(meta, "space")
    with suppress(UserError):  # what an older version did not write has its default
        space = space_from_values(space, "").model_dump(mode="json", by_alias=True)
    found = {key: value for key, value in space.items() if key not in FREE}
    if methods := section(found, "methods"):
        found["methods"] = {
            name: {key: value for key, value in part.items() if key != "known"}
            for name, part in methods.items()
            if isinstance(part, dict)
        }
    return found


def _named(table: pd.DataFrame, sweep: str) -> pd.DataFrame:
    """A sweep's table with its trials named after it."""
    return table.assign(trial=f"{sweep}/" + table["trial"].astype(str))


def _pooled(tables: Sequence[pd.DataFrame], order: Sequence[str] = ORDER) -> pd.DataFrame:
    """Tables as one, in the order that the tables of a sweep have."""
    filled = [table for table in tables if not table.empty] or [tables[0]]
    return pd.concat(filled, ignore_index=True).sort_values(list(order), kind="stable", ignore_index=True)


def _repeated(runs: pd.DataFrame, columns: Sequence[str], names: Sequence[str]) -> pd.Series:
    """Mark the runs that another sweep's run repeats: the same method, setting, seed and phase."""
    config = runs.reindex(columns=list(columns)).astype(object)
    config = config.where(config.notna(), None)
    parts = [runs["method"], runs["phase"], runs["seed"], *(config[name] for name in columns)]
    size = runs.groupby(["trial", "phase"])["seed"].transform("nunique")
    order = runs[["sweep", "trial"]].assign(
        what=pd.Series(list(zip(*parts, strict=True)), runs.index),
        fewer=-size,
        place=runs["sweep"].map({name: place for place, name in enumerate(names)}),
    )
    order = order.sort_values(["fewer", "place", "trial"], kind="stable")
    first = order.groupby("what")["sweep"].transform("first")
    return (order["sweep"] != first).reindex(runs.index)


def _meta(records: Sequence[SweepRecord], kept: pd.DataFrame) -> dict[str, Any]:
    """Describe the merged sweeps."""
    metas = [record.meta for record in records]
    counted = kept["sweep"].value_counts()
    parts = [_part(record, int(counted.get(record.name, 0))) for record in records]
    shared = sum(len(record.runs) for record in records) - len(kept)
    planned = [int(number) for meta in metas if (number := meta.get("trials_per_method"))]
    add_up = len(planned) == len(metas) and not shared
    settings = [meta.get("confirm_settings") for meta in metas]
    seeds = [seed for meta in metas for seed in meta.get("confirm_seeds") or []]
    merged = {
        **metas[0],
        "sweep": " + ".join(record.name for record in records),
        "methods": list(dict.fromkeys(name for meta in metas for name in meta.get("methods") or [])),
        "trials_per_method": sum(planned) if add_up else None,
        "search_seed": text.join([str(meta.get("search_seed")) for meta in metas]),
        "confirm_seeds": sorted(set(seeds)),
        "confirm_settings": text.join(list(dict.fromkeys(str(number) for number in settings))),
        "wall_seconds": sum(float(meta.get("wall_seconds") or 0.0) for meta in metas),
        "merged": parts,
        "shared": shared,
        "confirmed": _confirmed(records),
        "ui": None,  # their runs are in several experiments
    }
    for key in ("command", "commit", "started", "hardware"):
        merged[key] = "; ".join(dict.fromkeys(str(meta[key]) for meta in metas if meta.get(key)))
    return {key: value for key, value in merged.items() if value is not None}


def _part(record: SweepRecord, counted: int) -> dict[str, Any]:
    """What a merged sweep was: its budget, and what came of it."""
    meta = record.meta
    search = record.runs[record.runs["phase"] == "search"]["method"].value_counts()
    return {
        "sweep": record.name,
        "trials_per_method": meta.get("trials_per_method"),
        "trials": {method: int(search[method]) for method in order_methods(search.index)},
        "search_seed": meta.get("search_seed"),
        "confirm_settings": meta.get("confirm_settings"),
        "confirm_seeds": meta.get("confirm_seeds") or [],
        "started": meta.get("started") or "",
        "commit": meta.get("commit") or "",
        "versions": section(meta, "versions"),
        "runs": len(record.runs),
        "counted": counted,
    }


def _confirmed(records: Sequence[SweepRecord]) -> dict[str, list[str]] | None:
    """The settings that the sweeps confirmed in the end, by method, under their new names."""
    found: dict[str, list[str]] = {}
    for record in records:
        own = record.meta.get("confirmed")
        if not isinstance(own, dict):  # all that it confirmed
            again = record.runs[record.runs["phase"] == "confirm"]
            own = again.groupby("method")["trial"].unique().to_dict()
        for method, trials in own.items():
            found.setdefault(str(method), []).extend(f"{record.name}/{trial}" for trial in trials)
    return found


def _of_runs(table: pd.DataFrame, runs: pd.DataFrame, key: Sequence[str] = RUN_KEY) -> pd.DataFrame:
    """The rows of a table that belong to some runs."""
    if table.empty:
        return table
    wanted = pd.MultiIndex.from_frame(runs[list(key)])
    return table[pd.MultiIndex.from_frame(table[list(key)]).isin(wanted)].reset_index(drop=True)
