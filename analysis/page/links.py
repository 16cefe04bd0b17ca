"""Links from the report to the runs in the MLflow UI, where the record says where that is."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import pandas as pd

from analysis.summary import Summary
from analysis.tables import section

LOCAL = ("127.0.0.1", "localhost", "::1")


def run_link(meta: Mapping[str, Any], run_id: object) -> str:
    """The address of a run's page; empty where it is not known.

    Args:
        meta: The sweep's description. ``ui`` has ``base``, the address of an MLflow UI, and
            ``experiment_id``; hand-made and merged records have none.
        run_id: MLflow's id of the run.
    """
    ui = section(dict(meta), "ui")
    base, experiment = str(ui.get("base") or ""), str(ui.get("experiment_id") or "")
    if not (base.startswith(("http://", "https://")) and experiment and isinstance(run_id, str) and run_id):
        return ""
    return f"{base.rstrip('/')}/#/experiments/{quote(experiment, safe='')}/runs/{quote(run_id, safe='')}"


def needs_server(meta: Mapping[str, Any]) -> bool:
    """Whether the links lead to this machine, where somebody must have started the UI."""
    return urlsplit(str(section(dict(meta), "ui").get("base") or "")).hostname in LOCAL


def setting_links(summary: Summary) -> dict[tuple[str, str], str]:
    """Addresses of the runs that stand for settings: per (method, trial) that of the first seed.

    Args:
        summary: The sweep; its settings say which phase and seed a setting's numbers start with.

    Returns:
        Only settings whose run has an address.
    """
    meta, runs = summary.record.meta, summary.record.runs
    if not section(meta, "ui"):
        return {}
    key = ["method", "trial", "phase", "seed"]
    wanted = summary.settings.drop_duplicates(["method", "trial"]).rename(columns={"first_seed": "seed"})
    found = wanted[key].merge(runs[[*key, "run_id"]].drop_duplicates(key), on=key)
    links = {_pair(row): run_link(meta, row["run_id"]) for row in found.to_dict("records")}
    return {pair: link for pair, link in links.items() if link}


def _pair(row: Mapping[Hashable, Any] | pd.Series) -> tuple[str, str]:
    return str(row["method"]), str(row["trial"])
