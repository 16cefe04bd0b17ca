"""What a reader must know before believing the numbers; it stands beside the headline."""

from __future__ import annotations

import pandas as pd

from analysis import text
from analysis.chosen import in_use
from analysis.merged import merged_caveats, merged_sweeps
from analysis.summary import Summary
from analysis.tables import DENSE, SweepRecord, all_methods
from analysis.torn import torn_settings
from rewa.metric import Metric


def caveats(summary: Summary) -> list[str]:
    """Collect the sentences.

    Args:
        summary: What `summarise` returned.

    Returns:
        One sentence per thing that weakens or explains the comparison; empty when nothing does.
    """
    record, settings, metric = summary.record, summary.settings, summary.metric
    return [
        *_missing(summary.methods, settings),
        *_unconfirmed(settings),
        *_lost_seeds(in_use(record.runs, record.meta), settings),
        *torn_settings(summary.points, metric, summary.ratios),
        *_single_seed(settings),
        *_uneven_trials(record),
        *merged_caveats(record.meta),
        *(_no_dense(settings, metric) if metric.is_share else []),
    ]


def searched(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of the search, or the hand-made ones where nothing was searched."""
    found = runs[runs["phase"] == "search"]
    return runs[runs["phase"] != "confirm"] if found.empty else found


def _missing(methods: list[str], settings: pd.DataFrame) -> list[str]:
    present = set(settings["method"])
    absent = [method for method in methods if method not in present]
    if not absent:
        return []
    verb = "has" if len(absent) == 1 else "have"
    return [f"{text.join(absent)} {verb} no completed run, and so no results below."]


def _unconfirmed(settings: pd.DataFrame) -> list[str]:
    """Methods whose numbers come from the runs that were also selected on."""
    phases = settings.drop_duplicates("method").set_index("method")["phase"]
    bare = [str(method) for method, phase in phases.items() if phase != "confirm"]
    if not bare:
        return []
    if set(phases) == {"train"}:
        return [
            "These are hand-made runs, not a sweep: budgets may differ between methods, and a "
            "setting is chosen on the validation numbers of the very runs shown."
        ]
    start = "There was no confirmation phase"
    if len(bare) < len(phases):
        start = f"{text.join(bare)} {'has' if len(bare) == 1 else 'have'} no confirmed setting"
    return [
        f"{start}: the numbers come from the very runs that were searched over, so the best of "
        "them are partly luck, and one seed each leaves the seed noise unknown."
    ]


def _lost_seeds(runs: pd.DataFrame, settings: pd.DataFrame) -> list[str]:
    """Confirm runs that gave no result: the setting is no candidate, or its means flatter it."""
    confirm = runs[runs["phase"] == "confirm"]
    sentences = []
    for (method, trial), lost in confirm[confirm["status"] != "completed"].groupby(["method", "trial"]):
        group = confirm[(confirm["method"] == method) & (confirm["trial"] == trial)]
        kinds = text.join([str(kind) for kind in sorted(lost["status"].unique())])
        kept = (settings["trial"] == trial).any()
        then = "its means are over the remaining seeds only" if kept else "it is not recommended below"
        sentences.append(
            f"{len(lost)} of {len(group)} confirmation runs of {trial} ({method}) {kinds}: {then}."
        )
    return sentences


def _single_seed(settings: pd.DataFrame) -> list[str]:
    confirmed = settings[settings["phase"] == "confirm"]
    if confirmed.empty or confirmed["seeds"].max() > 1:
        return []
    return ["Every setting was confirmed on one seed: no difference can be told from seed noise."]


def _uneven_trials(record: SweepRecord) -> list[str]:
    """Budgets that differ, or a sweep that stopped before its plan was done."""
    counts = searched(record.runs)["method"].value_counts()
    told = text.join([f"{m} {counts[m]}" for m in all_methods(record) if m in counts])
    if counts.nunique() > 1:
        return [f"The methods did not get equal numbers of trials: {told}."]
    planned = record.meta.get("trials_per_method")
    if merged_sweeps(record.meta):
        return []  # each sweep has its own plan
    if planned and len(counts) and counts.min() < int(planned):
        return [f"Of {planned} planned trials per method, {counts.min()} were run."]
    return []


def _no_dense(settings: pd.DataFrame, metric: Metric) -> list[str]:
    """A share is told against a dense network; other metrics have their ideal value for that."""
    if settings.empty or (settings["method"].isin(DENSE) & (settings["value"] == 1.0)).any():
        return []
    methods = " or ".join(DENSE)
    return [
        f'No {methods} run gives the {metric.name} of a dense network, so "dense" below is the best any '
        "method reaches on validation at ratio 1."
    ]
