"""Is a difference between two methods more than the noise of the seeds, and of the test split?

The seeds' noise is told for any metric, the test split's for shares of its examples only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from rewa.metric import Metric

CONFIDENCE = 0.95
EQUAL = 1e-9  # values this close are the same number


@dataclass(frozen=True)
class Comparison:
    """Method a against method b at one operating point.

    Attributes:
        difference: By how much the mean of a is better than the mean of b, in the metric's unit.
        low: Lower end of the Welch interval of the difference; NaN when the seeds cannot give one.
        high: Upper end.
        beyond: True when the interval leaves zero out, False when it holds it, None when there is
            no interval.
        unknown: Why there is no interval; empty when there is one.
        deterministic: Whether both methods give the same at every seed, so that there is no seed noise.
    """

    difference: float
    low: float
    high: float
    beyond: bool | None
    unknown: str = ""
    deterministic: bool = False

    @property
    def verdict(self) -> str:
        """In words, to stand after a colon."""
        if self.deterministic:
            return "no seed noise, both are the same at every seed"
        if self.beyond is None:
            return f"seed noise unknown with {self.unknown}"
        return "beyond the seed noise" if self.beyond else "within the seed noise"


def compare(
    a: Sequence[float], b: Sequence[float], metric: Metric, confidence: float = CONFIDENCE
) -> Comparison:
    """Compare two sets of per-seed values of a metric with Welch's t interval.

    The interval speaks of the seeds alone: the same networks on other test examples are
    `sampling_error`'s subject.

    Args:
        a: Values of one method, one per seed.
        b: Values of the other.
        metric: Which way is better.
        confidence: Confidence of the interval.

    Returns:
        The comparison. With fewer than two seeds on a side, or no spread on either side, `beyond`
        is None: a few equal values are no estimate of a noise of zero.
    """
    if not len(a) or not len(b):
        return Comparison(math.nan, math.nan, math.nan, None, "no runs on one side")
    difference = metric.gain(float(np.mean(a)), float(np.mean(b)))
    if min(len(a), len(b)) < 2:
        both = len(a) == len(b)
        why = "one seed each" if both else "one seed on one side"
        return Comparison(difference, math.nan, math.nan, None, why)
    if not np.isfinite([*a, *b]).all():
        return Comparison(difference, math.nan, math.nan, None, "a value that is not finite")
    if np.ptp(a) < EQUAL and np.ptp(b) < EQUAL:
        why = "no spread between the seeds"
        return Comparison(difference, math.nan, math.nan, None, why)
    with np.errstate(over="ignore"):
        error_a, error_b = np.var(a, ddof=1) / len(a), np.var(b, ddof=1) / len(b)
        error = float(error_a + error_b)
        if not np.isfinite(error**2):
            return Comparison(difference, math.nan, math.nan, None, "values too large to compare")
    freedom = error**2 / (error_a**2 / (len(a) - 1) + error_b**2 / (len(b) - 1))
    reach = float(stats.t.ppf(0.5 + confidence / 2.0, freedom)) * math.sqrt(error)
    return Comparison(difference, difference - reach, difference + reach, abs(difference) > reach)


def sampling_error(accuracy: float, test_size: int, confidence: float = CONFIDENCE) -> float:
    """Half-width of the binomial interval (normal approximation) of one accuracy on a test split.

    Args:
        accuracy: The accuracy, a fraction.
        test_size: Number of test examples.
        confidence: Confidence of the interval.

    Returns:
        The half-width, a fraction.
    """
    quantile = float(stats.norm.ppf(0.5 + confidence / 2.0))
    return quantile * math.sqrt(max(accuracy * (1.0 - accuracy), 0.0) / test_size)


def difference_error(a: float, b: float, test_size: int, confidence: float = CONFIDENCE) -> float:
    """Sampling error of the difference of two accuracies, as if on separate examples.

    Both methods see the same test examples, so this is an upper bound where their errors overlap.
    """
    return math.hypot(sampling_error(a, test_size, confidence), sampling_error(b, test_size, confidence))
