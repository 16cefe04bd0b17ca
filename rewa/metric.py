"""What a workload's models are judged by, and which way is better."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Direction = Literal["max", "min"]


@dataclass(frozen=True)
class Metric:
    """A measure of quality with a direction, so that nothing else has to know which way is better.

    Attributes:
        name: As it stands in files and plots: "accuracy", "mse", "log_loss".
        direction: "max" if larger is better, "min" if smaller is.
        chance: Value of a model that has learnt nothing (a share of classes; the variance of the target).
        ideal: Value that no model beats in expectation: 1 for accuracy, the noise's variance for a mean
            squared error.
    """

    name: str
    direction: Direction
    chance: float
    ideal: float

    def __post_init__(self) -> None:
        if self.direction not in ("max", "min"):
            raise ValueError(f"direction = {self.direction!r} must be 'max' or 'min'.")
        if not self.gain(self.ideal, self.chance) > 0:
            raise ValueError(f"ideal = {self.ideal} must be better than chance = {self.chance}.")

    def gain(self, value: float, over: float) -> float:
        """Return by how much a value is better than another; negative if it is worse, NaN for NaN."""
        return value - over if self.direction == "max" else over - value

    def better(self, one: float, other: float) -> bool:
        """Return whether one value is better than another."""
        return self.gain(one, other) > 0

    def best(self, values: Iterable[float]) -> float:
        """Return the best of some values.

        Raises:
            ValueError: If there are none.
        """
        return max(values) if self.direction == "max" else min(values)

    @property
    def worst(self) -> float:
        """What a value that does not exist counts as: minus or plus infinity."""
        return -math.inf if self.direction == "max" else math.inf

    @property
    def is_share(self) -> bool:
        """Whether values are fractions of a whole, to be shown as percentages."""
        return self.direction == "max" and self.ideal == 1

    def describe(self) -> dict[str, Any]:
        """Return the metric as it stands in a workload's description; see :meth:`from_description`."""
        return {
            "metric": self.name,
            "direction": self.direction,
            "chance": self.chance,
            "ideal": self.ideal,
        }

    @classmethod
    def from_description(cls, workload: Mapping[str, Any]) -> Metric:
        """Read a metric back from a workload's description; what is missing is taken from accuracy.

        Args:
            workload: ``Record.workload``, or a sweep's ``meta["workload"]``.
        """
        return cls(
            name=str(workload.get("metric") or ACCURACY.name),
            direction=workload.get("direction") or ACCURACY.direction,
            chance=float(workload.get("chance", ACCURACY.chance)),
            ideal=float(workload.get("ideal", ACCURACY.ideal)),
        )


ACCURACY = Metric("accuracy", "max", chance=0.0, ideal=1.0)
"""Top-1 accuracy as a fraction, where the number of classes is not known."""
