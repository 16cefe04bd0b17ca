"""A metric's values, differences and references in words: accuracy in percent, errors as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis import text
from analysis.noise import EQUAL
from rewa.metric import Metric

INFINITE = "\u221e"


@dataclass(frozen=True)
class Wording:
    """How one metric is written, in one place: page, headline and figures agree.

    Shares are percentages, and their differences percentage points. Other metrics are plain numbers with as
    many decimals as tell a thousandth of the way from chance to ideal.

    Attributes:
        metric: What is written about.
    """

    metric: Metric

    @property
    def decimals(self) -> int:
        """Decimals of a plain number."""
        span = self.metric.gain(self.metric.ideal, self.metric.chance)
        return max(0, 3 - math.floor(math.log10(span)))

    def value(self, value: float) -> str:
        """Write a value: ``97.1 %``, ``1.043``, ``1.2e+09``; a dash when it is missing."""
        if self.metric.is_share and math.isfinite(value):
            return text.percent(value)
        return self._number(value)

    def span(self, values: Sequence[float]) -> str:
        """Write the least and the largest value: ``96.4 to 96.9 %``; once where they read the same."""
        low, high = self.value(min(values)), self.value(max(values))
        return high if low == high else f"{low.removesuffix(' %')} to {high}"

    def mean_std(self, mean: float, std: float) -> str:
        """Write ``97.1 ± 0.2`` (percent) or ``1.043 ± 0.002``; a plain number has no spread of 0."""
        if self.metric.is_share and math.isfinite(mean):
            return text.mean_std(mean, std)
        spread = f" \u00b1 {self._number(std)}" if math.isfinite(std) and std >= EQUAL else ""
        return f"{self._number(mean)}{spread}"

    def size(self, difference: float) -> str:
        """Write the size of a difference: percentage points of a share, else plain; never as none."""
        if self.metric.is_share and math.isfinite(difference):
            return text.points(difference)
        size, step = abs(difference), 10.0**-self.decimals
        if not math.isfinite(size) or size >= 0.95 * step or size == 0.0:
            return self._number(size)
        if size < 0.05 * step:
            return f"less than {0.1 * step:.{self.decimals + 1}f}"
        return f"{size:.{self.decimals + 1}f}"

    def interval(self, low: float, high: float) -> str:
        """Write an interval of a difference, ``-0.2 to +0.9 points``."""
        if self.metric.is_share:
            return f"{100.0 * low:+.1f} to {100.0 * high:+.1f} points"
        signed = [f"{'+' if end >= 0 else '-'}{self._number(abs(end))}" for end in (low, high)]
        return " to ".join(signed)

    def ahead(self, lead: float, rival: str) -> str:
        """Write ``0.4 points ahead of rewa`` or ``0.012 lower than rewa``."""
        if not math.isfinite(lead):
            return f"while {rival} has no finite value"
        if self.metric.is_share:
            return f"{self.size(lead)} points ahead of {rival}"
        return f"{self.size(lead)} {self.comparative} than {rival}"

    def behind(self, *gaps: float) -> str:
        """Write ``7.0 and 6.0 points behind`` or ``0.157 and 0.2 behind``; equal sizes once."""
        sizes = text.in_turn([self.size(gap) for gap in gaps])
        return f"{sizes} points behind" if self.metric.is_share else f"{sizes} behind"

    @property
    def points(self) -> str:
        """The unit of a difference, with a space before it; nothing for plain numbers."""
        return " points" if self.metric.is_share else ""

    @property
    def comparative(self) -> str:
        """What a better value is than another."""
        return "higher" if self.metric.direction == "max" else "lower"

    @property
    def best(self) -> str:
        """``Best accuracy``, ``Lowest mse``."""
        return f"{'Best' if self.metric.direction == 'max' else 'Lowest'} {self.metric.name}"

    @property
    def no_skill(self) -> str:
        """What the chance value stands for."""
        return "chance" if self.metric.direction == "max" else "predicting the mean"

    @property
    def limit(self) -> str:
        """What the ideal value stands for."""
        return "ideal" if self.metric.direction == "max" else "noise floor"

    def reference(self, value: float) -> str:
        """Write a reference value, mostly a round number: ``90 %``, ``1.05``, ``2.0``."""
        if self.metric.is_share:
            return text.percent(value, 0)
        short = f"{value:.4g}"
        return f"{short}.0" if short.lstrip("-").isdigit() else short

    def _number(self, value: float) -> str:
        """Write a plain number; where decimals would drown it, four digits."""
        if math.isnan(value):
            return text.DASH
        if math.isinf(value):
            return INFINITE if value > 0 else f"\u2212{INFINITE}"
        if abs(value) >= 10.0 ** (5 - self.decimals):
            return f"{value:.4g}"
        return f"{value:.{self.decimals}f}"
