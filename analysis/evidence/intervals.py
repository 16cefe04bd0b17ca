"""How sure a mean over seeds is, and a difference between two methods on the same seeds.

`analysis.noise.compare` judges the headline by Welch's interval, which takes the seeds of two methods as
unrelated. Here they are paired: the same seed is the same order of the data and, where the two methods start
alike, the same initial weights. Pairing helps where a seed is lucky for both, and costs degrees of freedom:
n - 1, against up to 2n - 2. So the two can disagree; `comparisons` carries both verdicts for the page to say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from analysis.evidence.per_seed import per_seed
from analysis.noise import CONFIDENCE, EQUAL, compare
from analysis.pareto import DIGITS
from analysis.standing import standing
from analysis.summary import Summary
from rewa.metric import Metric

RESAMPLES = 9999


@dataclass(frozen=True)
class Interval:
    """The mean of a method's seeds.

    Attributes:
        mean: Mean over seeds; NaN without seeds.
        low: Lower end of its bootstrap interval; NaN where there is none.
        high: Upper end.
        seeds: How many seeds.
        unknown: Why there is no interval; empty when there is one.
    """

    mean: float
    low: float
    high: float
    seeds: int
    unknown: str = ""


@dataclass(frozen=True)
class Paired:
    """Method a against method b on the seeds that both were trained on.

    Attributes:
        difference: Mean over these seeds of how much better a is than b, in the metric's unit.
        low: Lower end of the paired t interval; NaN where there is none.
        high: Upper end.
        p: Of the paired t test, two-sided; below 1 - confidence exactly when the interval leaves zero out.
        p_signs: Of the sign-flip permutation test, two-sided.
        least: The smallest ``p_signs`` that so many seeds can give, 2 / 2^n.
        seeds: How many seeds both have.
        unknown: Why there is no test; empty when there is one.
    """

    difference: float
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    p_signs: float = math.nan
    least: float = math.nan
    seeds: int = 0
    unknown: str = ""


COMPARISON_COLUMNS = (
    *("ratio", "method", "rival", "leads", "difference", "low", "high"),
    *("p", "p_adjusted", "p_signs", "least", "seeds", "unknown", "welch"),
)


def seed_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """The mean of some seeds with its bootstrap percentile interval (Efron 1979, `scipy.stats.bootstrap`).

    The percentile method, not BCa, whose corrections for bias and skewness are estimates themselves: a
    handful of values gives none worth having. The interval of few seeds is narrow by nature, as no resample
    leaves the range of the values. With three seeds the lowest three times is 1 of 27 resamples, more than
    the 2.5 % of a tail, so that the 95 % interval is just the range from the lowest to the highest seed; that
    holds the mean of a symmetric distribution in 1 - 2^(1-n), three of four cases.

    Args:
        values: One per seed.
        confidence: Nominal confidence.

    Returns:
        The same for the same values: the resamples are drawn with a fixed seed.
    """
    count = len(values)
    mean = float(np.mean(values)) if count else math.nan
    reason = ""
    if count < 2:
        reason = "one seed" if count else "no runs"
    elif not np.isfinite(values).all():
        reason = "a value that is not finite"
    elif np.ptp(values) < EQUAL:
        reason = "no spread between the seeds"
    if reason:
        return Interval(mean, math.nan, math.nan, count, reason)
    found = stats.bootstrap(
        (np.asarray(values),),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high), count)


def ratio_intervals(summary: Summary) -> pd.DataFrame:
    """Every method's test mean at the headline ratios, with its interval.

    Args:
        summary: What `summarise` returned.

    Returns:
        ``ratio``, ``method``, ``trial``, ``values`` (one per seed) and the attributes of `Interval`, methods
        in the order of display; no row for a method without test values there.
    """
    rows = []
    known = summary.points[summary.points["test_metric_mean"].notna()]
    here = {(row["value"], row["method"]): row for row in known.to_dict("records")}
    for ratio in summary.ratios:
        for method in summary.methods:
            if row := here.get((ratio, method)):
                identity = {"ratio": ratio, "method": method, "trial": row["trial"]}
                values = tuple(row["test_values"])
                rows.append({**identity, "values": values, **asdict(seed_interval(values))})
    columns = ["ratio", "method", "trial", "values", "mean", "low", "high", "seeds", "unknown"]
    return pd.DataFrame(rows, columns=columns)


def paired(
    a: Mapping[int, float], b: Mapping[int, float], metric: Metric, confidence: float = CONFIDENCE
) -> Paired:
    """Compare two methods on their common seeds.

    The t interval and test (Student 1908, `scipy.stats.ttest_rel`) take the differences as normal, which a
    few values can neither show nor refute. The sign-flip test (Fisher 1935, `scipy.stats.permutation_test`
    with ``permutation_type="samples"``) assumes only that without a difference between the methods either
    sign of each is as likely; it goes through all 2^n sign patterns (a fixed random sample of them beyond
    thirteen seeds) and can give no p below 2 / 2^n.

    Args:
        a: Values of one method by seed.
        b: Values of the other by seed.
        metric: Which way is better.
        confidence: Confidence of the interval.

    Returns:
        The comparison; NaN and the reason where there is no test: with fewer than two common seeds, a value
        that is not finite, or no spread. Where the difference is the same at every seed, though the values
        are not, there is no t test, but signs can be flipped.
    """
    common = sorted(a.keys() & b.keys())
    one, other = (np.array([values[seed] for seed in common], dtype=float) for values in (a, b))
    with np.errstate(invalid="ignore", over="ignore"):
        gaps = one - other if metric.direction == "max" else other - one
        difference = float(np.mean(gaps)) if len(gaps) else math.nan
        spread = float(np.std(gaps) ** 2) if len(gaps) else math.nan
    reason = ""
    if len(common) < 2:
        reason = "one common seed" if common else "no common seed"
    elif not np.isfinite([one, other]).all():
        reason = "a value that is not finite"
    elif not math.isfinite(spread):
        reason = "values too large to compare"
    elif np.ptp(one) < EQUAL and np.ptp(other) < EQUAL:
        reason = "both are the same at every seed"
    if reason:
        return Paired(difference, seeds=len(common), unknown=reason)
    least, flipped = 2.0 / 2.0 ** len(common), _sign_flips(gaps)
    if np.ptp(gaps) < EQUAL:
        reason = "the same difference at every seed"
        return Paired(difference, p_signs=flipped, least=least, seeds=len(common), unknown=reason)
    found = stats.ttest_rel(gaps, np.zeros_like(gaps))
    reach = found.confidence_interval(confidence)
    return Paired(
        difference,
        low=float(reach.low),
        high=float(reach.high),
        p=float(found.pvalue),
        p_signs=flipped,
        least=least,
        seeds=len(common),
    )


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p values for their number (Holm 1979): the chance of any false claim stays below the level.

    Holm and not a false discovery rate: a reader takes single rows from the table ("is it really better than
    that one?"), and each must hold by itself. And unlike Benjamini and Hochberg's procedure it needs nothing
    of how the tests depend on each other, which here share methods and seeds.

    Args:
        p: In any order; NaN stands for a test that was not made, and stays.

    Returns:
        The adjusted values in the same order: the i-th smallest of m times m - i + 1, at least the one before
        and at most 1.
    """
    values = pd.Series(p, dtype=float)
    known = values.dropna().sort_values(kind="stable")
    factors = np.arange(len(known), 0, -1)
    adjusted = (known * factors).cummax().clip(upper=1.0)
    return [float(value) for value in adjusted.reindex(values.index)]


def comparisons(summary: Summary) -> pd.DataFrame:
    """Compare every two methods at every headline ratio, paired by seed.

    The p values are adjusted over all of them, not only over those against the leader: who leads is seen in
    the same test values, and picking it first is as good as having looked at every pair.

    Args:
        summary: What `summarise` returned.

    Returns:
        `COMPARISON_COLUMNS`, ordered by ratio and by rank; ``method`` has the better mean, or comes first in
        the display, and ``leads`` says that no other has a better one. ``p_adjusted`` is Holm's. ``welch`` is
        the verdict of `analysis.noise.compare`: True beyond the seed noise, False within, None unknown.
    """
    seeds = per_seed(summary)
    by_seed = {
        key: dict(zip(own["seed"].tolist(), own["metric"].tolist(), strict=True))
        for key, own in seeds.groupby(["value", "method"])
    }
    rows: list[dict[str, Any]] = []
    for ratio in summary.ratios:
        entries = standing(summary.points, ratio, summary.metric, summary.dense).entries
        for (rank, one), (_, other) in combinations(enumerate(entries), 2):
            a, b = (by_seed.get((ratio, entry.method), {}) for entry in (one, other))
            welch = compare(one.values, other.values, summary.metric).beyond
            identity = {"ratio": ratio, "method": one.method, "rival": other.method, "leads": rank == 0}
            rows.append({**identity, **asdict(paired(a, b, summary.metric)), "welch": welch})
    table = pd.DataFrame(rows, columns=[name for name in COMPARISON_COLUMNS if name != "p_adjusted"])
    table = table.astype({"leads": bool, "welch": object}).assign(p_adjusted=holm(table["p"].tolist()))
    return table[list(COMPARISON_COLUMNS)]


def _sign_flips(gaps: npt.NDArray[np.float64]) -> float:
    """The two-sided p value of the sign-flip test on the sum of some differences."""
    found = stats.permutation_test(
        (gaps,),
        lambda values, axis: np.round(np.sum(values, axis=axis), DIGITS),  # equal sums must tie
        permutation_type="samples",
        n_resamples=RESAMPLES,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)
