"""What went wrong in a sweep: causes, what they cost, when they showed, where in the search they gather."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import pandas as pd
from scipy import stats

from analysis.caveats import searched
from analysis.chosen import in_use
from analysis.evidence.trials import Scale, named, quantities, scale_of, tuned
from analysis.tables import SweepRecord, all_methods

NOT_FINITE = "loss not finite"
CHANCE = "stayed at chance"
TIMED_OUT = "timed out"
WORKER_LOST = "worker lost"
MEMORY = "out of memory"
UNKNOWN = "no reason recorded"
CONFIRMATION_LOST = "confirmation lost"
PATTERNS = (
    (MEMORY, re.compile(r"out ?of ?memory|^MemoryError|cannot allocate memory", re.IGNORECASE)),
    (TIMED_OUT, re.compile(r"^timed out")),
    (WORKER_LOST, re.compile(r"worker was lost")),
    (NOT_FINITE, re.compile(r"loss .*\b(nan|[-+]?inf)\b", re.IGNORECASE)),
    (CHANCE, re.compile(r"stayed at chance")),
)
EPOCH = re.compile(r" (?:in|until) epoch (\d+)$")
ERROR = re.compile(r"^(?:\w+\.)*(\w*[A-Z]\w*)(?:: |$)")
LONGEST = 60  # letters of a cause that nothing above names
LEAST = 4  # trials on either side before a rule is looked for
CLEAR = 0.75  # balanced accuracy
LEVEL = 0.05
COLUMNS = ("method", "phase", "cause", "count", "of", "seconds", "share", "epoch", "told")


@dataclass(frozen=True)
class Rule:
    """The threshold on one quantity that separates a method's failed trials best from the completed ones.

    Attributes:
        method: Name of the method.
        name: Of the quantity.
        above: Whether the failures lie above the threshold.
        threshold: A value between two trials' values.
        lost_there: Failed trials on the failures' side.
        lost: All failed trials.
        kept_there: Completed trials on the failures' side.
        kept: All completed trials.
        accuracy: Mean of the shares of failed and of completed trials on their sides.
        p: The Kolmogorov-Smirnov test's p-value times the number of quantities that were tried, at most 1.
    """

    method: str
    name: str
    above: bool
    threshold: float
    lost_there: int
    lost: int
    kept_there: int
    kept: int
    accuracy: float
    p: float


def cause_of(status: str, reason: object) -> str:
    """The kind of a failure, without epoch numbers and messages.

    Args:
        status: ``diverged`` or ``failed``.
        reason: What the run's record says; may be missing.
    """
    told = EPOCH.sub("", str(reason).strip()) if isinstance(reason, str) else ""
    if not told:
        return UNKNOWN
    for cause, pattern in PATTERNS:
        if pattern.search(told):
            return cause
    if status == "failed" and (error := ERROR.match(told)):
        return f"failed with {error.group(1)}"
    first = told.splitlines()[0]
    return first if len(first) <= LONGEST else f"{first[: LONGEST - 1].rstrip()}\u2026"


def epoch_of(reason: object) -> float:
    """The epoch in which a run ended, from its reason; NaN where that does not say."""
    found = EPOCH.search(reason.strip()) if isinstance(reason, str) else None
    return float(found.group(1)) if found else math.nan


def failures(record: SweepRecord) -> pd.DataFrame:
    """Count the runs that did not complete.

    Args:
        record: The sweep.

    Returns:
        One row per method, phase (``search``, also for hand-made runs, or ``confirm``) and cause, the most
        frequent first: ``count`` of the ``of`` runs the method had in that phase; ``seconds`` they took, and
        as ``share`` of all the method's seconds in both phases; median ``epoch`` they ended in, NaN where no
        reason says; and ``told``, the reason of the first of them. No rows where all runs completed.
    """
    used = in_use(record.runs, record.meta)
    confirm = used[used["phase"] == "confirm"]
    runs = pd.concat([searched(record.runs).assign(phase="search"), confirm])
    seconds = runs.groupby("method")["seconds"].sum().to_dict()
    sizes = runs.groupby(["method", "phase"]).size().to_dict()
    bad = runs[runs["status"] != "completed"]
    bad = bad.assign(
        cause=[cause_of(str(s), r) for s, r in zip(bad["status"], bad["reason"], strict=True)],
        epoch=bad["reason"].map(epoch_of).astype(float),
    )
    rows = []
    for (method, phase, cause), own in bad.groupby(["method", "phase", "cause"], sort=False):
        spent, whole = float(own["seconds"].sum()), float(seconds[method])
        rows.append(
            {
                "method": method,
                "phase": phase,
                "cause": cause,
                "count": len(own),
                "of": int(sizes[method, phase]),
                "seconds": spent,
                "share": spent / whole if whole > 0.0 else math.nan,
                "epoch": float(own["epoch"].median()) if own["epoch"].notna().any() else math.nan,
                "told": str(own["reason"].iloc[0]) if isinstance(own["reason"].iloc[0], str) else "",
            }
        )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    place = {method: number for number, method in enumerate(all_methods(record))}
    key = table.assign(_place=table["method"].map(place), _phase=table["phase"] != "search")
    order = ["_place", "_phase", "count", "cause"]
    return key.sort_values(order, ascending=[True, True, False, True], ignore_index=True)[list(COLUMNS)]


def separating_rule(record: SweepRecord, method: str) -> Rule | None:
    """Find the single threshold that tells a method's failed trials from its completed ones, if one does.

    The best balanced accuracy of any threshold on a quantity is (1 + D) / 2, D being the two-sample
    Kolmogorov-Smirnov statistic, so scipy's exact test says where it is and how likely chance alone gives as
    much. That is corrected for the number of quantities (Bonferroni). The test takes trials as
    independent, which a search that learns from its failures makes only roughly true.

    Args:
        record: The sweep.
        method: Name of the method.

    Returns:
        The rule, where it separates clearly: a balanced accuracy of at least 0.75, a corrected p of at most
        0.05, and four failed and four completed trials that have the quantity. Choices without an order
        (texts) are not looked at.
    """
    trials = tuned(record, method)
    if trials.empty:
        return None
    names = quantities(trials)
    found: list[Rule] = []
    for name in names:
        own = trials.dropna(subset=[name])
        scale = scale_of(record, method, name, own[name])
        if any(not isinstance(choice, int | float) or isinstance(choice, bool) for choice in scale.choices):
            continue
        rule = _best_threshold(own, method, scale, len(names))
        if rule and rule.accuracy >= CLEAR and rule.p <= LEVEL:
            found.append(rule)
    return max(found, key=lambda rule: rule.accuracy, default=None)


def rule_sentence(rule: Rule) -> str:
    """Write a rule with its counts: ``6 of the 8 rewa trials that diverged or failed have ...``."""
    verb = "have" if rule.lost > 1 else "has"
    bound = f"{named(rule.name, rule.method)} {'>' if rule.above else '<'} {rule.threshold:.15g}"
    whole = f"All {rule.lost}" if rule.lost_there == rule.lost else f"{rule.lost_there} of the {rule.lost}"
    has = "has" if rule.kept_there == 1 else "have"
    others = f"{'none' if not rule.kept_there else rule.kept_there} of the {rule.kept} that completed"
    return f"{whole} {rule.method} trials that diverged or failed {verb} {bound}; so {has} {others}."


def _best_threshold(trials: pd.DataFrame, method: str, scale: Scale, tried: int) -> Rule | None:
    """The best threshold on one quantity; None with too few trials on either side."""
    values = trials[scale.name].astype(float)
    failed = trials["status"] != "completed"
    lost, kept = values[failed], values[~failed]
    if min(len(lost), len(kept)) < LEAST:
        return None
    test = stats.ks_2samp(lost, kept)
    above = bool(test.statistic_sign < 0)  # fewer of the failed lie below
    under = float(test.statistic_location)
    over = float(values[values > under].min()) if (values > under).any() else under
    threshold = math.sqrt(under * over) if scale.kind == "log" and under > 0.0 else (under + over) / 2.0
    lost_there = int((lost > threshold).sum() if above else (lost < threshold).sum())
    kept_there = int((kept > threshold).sum() if above else (kept < threshold).sum())
    accuracy = (lost_there / len(lost) + 1.0 - kept_there / len(kept)) / 2.0
    p = min(1.0, float(test.pvalue) * tried)
    return Rule(
        method,
        scale.name,
        above,
        _rounded(threshold, under, over),
        lost_there,
        len(lost),
        kept_there,
        len(kept),
        accuracy,
        p,
    )


def _rounded(threshold: float, under: float, over: float) -> float:
    """The threshold with as few digits as leave every trial on its side."""
    for digits in range(1, 17):
        short = float(f"{threshold:.{digits}g}")
        if under < short < over:
            return short
    return threshold
