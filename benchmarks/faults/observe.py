"""Counts what is on disk, in the ledger, in Optuna and in MLflow once a sweep has ended."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from benchmarks.faults.ground import Ground, Results
from benchmarks.faults.ledger import BEGUN, ENDED, counted, read, short, training_name
from benchmarks.faults.outcome import Outcome

TRIAL_PHASES = ("search", "confirm")

ATTEMPTS = {"raiser": 2, "hanger": 2, "freezer": 2, "killer": 4}
"""How often a marked trial of a method may be begun: in its pack, and alone once, or thrice (worker lost)."""

Key = tuple[str, str, int]
"""Trial, phase and seed."""


def observe(ground: Ground, fault: str, started: float) -> Outcome:
    """Count everything.

    Args:
        ground: Where the sweep was; it must have ended.
        fault: Name of the fault.
        started: When it all began, by ``time.monotonic``.
    """
    results = ground.finished()
    stored: dict[str, dict[str, Any]] = {name: json.loads(text) for name, (_, text) in results.items()}
    for r in stored.values():
        r["method"] = short(r["method"])
    keys = {(r["trial"], r["phase"], r["seed"]) for r in stored.values()}
    trained = Counter(
        (r["phase"], training_name(r["method"], r["config"], r["seed"])) for r in stored.values()
    )
    reasons: dict[str, list[str]] = defaultdict(list)
    marked: dict[str, str] = {}
    for r in stored.values():
        if r["status"] != "completed":
            reasons[r["method"]].append(f"{r['status']}: {r['reason']}".removeprefix("failed: "))
        if r["config"].get("fate") == 0:
            marked[r["method"]] = training_name(r["method"], r["config"], r["seed"])
    entries = read(ground.home)
    begun = counted(entries, BEGUN)
    return Outcome(
        fault=fault,
        planned=ground.plan.trainings,
        finished=len(ground.before),
        kept=sum(results.get(name) == found for name, found in ground.before.items()),
        found=len(results),
        twice_on_disk=sum(count - 1 for count in trained.values()),
        again=_begun_again(ground, results, stored),
        repeated=sum(count - 1 for count in counted(entries, ENDED).values()),
        at_risk=ground.at_risk,
        **_optuna(ground.out / "optuna.log", {trial for trial, phase, _ in keys if phase == "search"}),
        **_mlflow(ground.uri, keys),
        failing=ground.plan.failing,
        failed={method: " | ".join(texts) for method, texts in reasons.items()},
        attempts={method: begun[name] for method, name in marked.items()},
        attempts_allowed={name: ATTEMPTS[name] for name in ground.plan.methods if name in ATTEMPTS},
        recovery=tuple(round(seconds, 1) for seconds in _recoveries(ground.struck, results)),
        broken=tuple(ground.broken),
        seconds=round(time.monotonic() - started, 1),
    )


def _begun_again(ground: Ground, results: Results, stored: dict[str, dict[str, Any]]) -> int:
    """Return how many trainings were begun after their result was on disk."""
    kept: dict[str, float] = {}
    for name, r in stored.items():
        training, at = training_name(r["method"], r["config"], r["seed"]), results[name][0] / 1e9
        kept[training] = min(at, kept.get(training, at))
    return sum(
        entry.event == BEGUN and entry.time > kept.get(entry.training, float("inf"))
        for entry in read(ground.home)
    )


def _recoveries(struck: list[float], results: Results) -> list[float]:
    """Return the seconds from every fault to the next result; none for a fault that no result followed."""
    times = sorted(stamp / 1e9 for stamp, _ in results.values())
    after = [next((at for at in times if at > fault), None) for fault in struck]
    return [at - fault for at, fault in zip(after, struck, strict=True) if at is not None]


def _optuna(journal: Path, searched: set[str]) -> dict[str, int]:
    """Compare the studies with the search trials on disk."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
    complete: Counter[str] = Counter()
    over: set[str] = set()
    running = 0
    for summary in optuna.get_all_study_summaries(storage, include_best_trial=False):
        method = summary.study_name.rpartition("/")[2].replace(":", ".")
        for trial in storage.get_all_trials(summary._study_id, deepcopy=False):
            name = f"{method}-{trial.number:04d}"
            running += trial.state.name == "RUNNING"
            complete[name] += trial.state.name == "COMPLETE"
            if trial.state.is_finished():
                over.add(name)
    return {
        "twice_in_optuna": sum(count - (name in searched) for name, count in complete.items() if count),
        "missing_in_optuna": len(searched - over),
        "zombies_in_optuna": running,
    }


def _mlflow(uri: str, keys: set[Key]) -> dict[str, int]:
    """Compare the runs of a store with the results on disk."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    found: Counter[Key] = Counter()
    running = 0
    for experiment in client.search_experiments():
        token = None
        while True:
            page = client.search_runs([experiment.experiment_id], max_results=1000, page_token=token)
            for run in page:
                running += run.info.status == "RUNNING"
                tags = run.data.tags
                if tags.get("rewa.phase") in TRIAL_PHASES and run.info.status == "FINISHED":
                    found[tags["rewa.trial"], tags["rewa.phase"], int(tags["rewa.seed"])] += 1
            token = page.token
            if not token:
                break
    return {
        "twice_in_mlflow": sum(count - (key in keys) for key, count in found.items()),
        "missing_in_mlflow": len(keys - set(found)),
        "zombies_in_mlflow": running,
    }
