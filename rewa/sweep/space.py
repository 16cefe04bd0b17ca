"""What a search space is: distributions per method, objective, budget. Reading one: ``space_file``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from rewa.config import Settings
from rewa.methods import get_method
from rewa.metric import Metric
from rewa.record import Record
from rewa.sparsity.area import frontier_area
from rewa.sparsity.frontier import OperatingPoint
from rewa.sweep.coordinates import Coordinates

Scalar = float | int | str | bool


class Distribution(Settings):
    """One sampled quantity: exactly one of ``uniform``, ``log_uniform``, ``int`` and ``choice``.

    Attributes:
        uniform: Lower and upper bound.
        log_uniform: The same on a logarithmic scale; the lower bound is positive.
        int: Integer bounds, both included.
        choice: The values to choose from.
        when: Sampled only if these earlier quantities have one of the listed values.
    """

    uniform: tuple[float, float] | None = None
    log_uniform: tuple[float, float] | None = None
    int_: tuple[int, int] | None = Field(default=None, alias="int")
    choice: tuple[Scalar, ...] | None = Field(default=None, min_length=1)
    when: dict[str, tuple[Scalar, ...]] = Field(default={})

    @model_validator(mode="after")
    def _one_kind(self) -> Distribution:
        kinds = [self.uniform, self.log_uniform, self.int_, self.choice]
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError("give exactly one of uniform, log_uniform, int or choice")
        for bounds in (self.uniform, self.log_uniform, self.int_):
            if bounds is not None and not bounds[0] < bounds[1]:
                raise ValueError(f"the bounds {list(bounds)} must rise")
        if self.log_uniform is not None and self.log_uniform[0] <= 0:
            raise ValueError(f"log_uniform needs positive bounds, not {list(self.log_uniform)}")
        return self

    def suggest(self, trial: Any, name: str) -> Any:
        """Draw a value from an Optuna trial."""
        if self.choice is not None:
            return trial.suggest_categorical(name, list(self.choice))
        if self.int_ is not None:
            return trial.suggest_int(name, *self.int_)
        if self.log_uniform is not None:
            return trial.suggest_float(name, *self.log_uniform, log=True)
        assert self.uniform is not None
        return trial.suggest_float(name, *self.uniform)

    def optuna(self) -> Any:
        """Return what Optuna calls the distribution that :meth:`suggest` draws from."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choice is not None:
            return CategoricalDistribution(list(self.choice))
        if self.int_ is not None:
            return IntDistribution(*self.int_)
        low, high = self.log_uniform or self.uniform or (0.0, 0.0)
        return FloatDistribution(low, high, log=self.log_uniform is not None)

    def contains(self, value: Any) -> bool:
        """Return whether a value could be drawn."""
        if self.choice is not None:
            return value in self.choice
        low, high = self.uniform or self.log_uniform or self.int_ or (0, 0)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return False
        whole = self.int_ is None or value == int(value)
        return whole and low <= value <= high

    def ends(self) -> tuple[Any, ...]:
        """Return the extreme values: both bounds, the least and the largest number, or all choices."""
        if self.choice and all(isinstance(v, (int, float)) for v in self.choice):
            return tuple({min(self.choice), max(self.choice)})
        return self.choice or self.uniform or self.log_uniform or self.int_ or ()


class MethodSpace(Settings):
    """What is sampled for one method.

    Attributes:
        sample: Distribution by name: a key of the method's config, or a coordinate.
        fixed: Config values that are not tuned.
        known: Settings known to be good, tried first; each gives every sampled quantity.
        coordinates: How coordinates become config values; needed when one is sampled.
    """

    sample: dict[str, Distribution] = Field(min_length=1)
    fixed: dict[str, Scalar] = Field(default={})
    known: tuple[dict[str, Scalar], ...] = ()
    coordinates: Coordinates | None = None

    def config(self, method: str, values: Mapping[str, Any], schedule: float) -> dict[str, Any]:
        """Return the method's full, validated config for sampled values.

        Args:
            method: Registered name of the method.
            values: Sampled values by name.
            schedule: Sum of the learning-rate factors over the training's steps.

        Raises:
            UserError: If the method refuses the config.
        """
        settings = get_method(method).Config
        merged: dict[str, Any] = {
            name: field.default for name, field in settings.model_fields.items() if not field.is_required()
        }
        merged.update(self.fixed)
        merged.update(values)
        if self.coordinates:
            merged = self.coordinates.to_config(merged, schedule)
        return settings.parse(merged, f"method {method!r}").model_dump()

    def active(self, values: Mapping[str, Any], name: str) -> bool:
        """Return whether a quantity is sampled, given those before it."""
        when = self.sample[name].when
        return all(values.get(key) in allowed for key, allowed in when.items())


class Objective(Settings):
    """The one number per trial: normalised area between the validation frontier and a reference value.

    Attributes:
        criterion: Which frontier.
        max_compression: Right end of the area; at most the workload's largest target.
        reference: Value of the workload's metric that counts as worthless.
        recalibrated: Take the frontier after batch-norm statistics were recomputed on the pruned models. For
            models without batch norm there is none, and the raw frontier is taken.
    """

    criterion: Literal["ratio"] = "ratio"
    max_compression: float = Field(default=500, gt=1)
    reference: float = 0.8
    recalibrated: bool = False

    def points(self, record: Record) -> list[OperatingPoint]:
        """Return the validation points that the objective looks at; empty for a diverged training."""
        return (record.points("val", recalibrated=True) if self.recalibrated else []) or record.points("val")

    def curve(self, record: Record) -> dict[float, float]:
        """Return the validation metric by target ratio, of those points."""
        return {point.value: point.metric for point in self.points(record)}

    def area(self, metric_at: Mapping[float, float], metric: Metric) -> float:
        """Return the area of a frontier; see :func:`rewa.sparsity.area.frontier_area`."""
        return frontier_area(metric_at, self.max_compression, self.reference, metric)


class Confirm(Settings):
    """How many settings per method are retrained, on how many fresh seeds.

    Attributes:
        settings: Settings per method, at most.
        seeds: Seeds of each.
        models: Whether the weights of each setting's first seed are kept, float32, for `rewa register`.
    """

    settings: int = Field(default=3, ge=1)
    seeds: int = Field(default=3, ge=1)
    models: bool = True


class Resources(Settings):
    """What one trial occupies on the cluster: ``workers`` processes, each with ``cpu`` and ``gpu``.

    Several workers train one model together by DistributedDataParallel. ``pack`` trials, at most, share one
    worker and its passes over the data, where the workload allows (:mod:`rewa.packs`); each is reported as
    itself.

    Attributes:
        concurrent: At most so many tasks at once; default: what fits, on a cluster at any time.
        timeout: Seconds that one trial may take from its start or its last checkpoint. One that takes longer
            is recorded as failed.
    """

    cpu: float = Field(default=1, gt=0)
    gpu: float = Field(default=0, ge=0)
    workers: int = Field(default=1, ge=1)
    pack: int = Field(default=1, ge=1, le=10_000)
    concurrent: int | None = Field(default=None, ge=1)
    timeout: float = Field(default=86_400.0, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _pack_or_workers(self) -> Resources:
        if self.pack > 1 and self.workers > 1:
            raise ValueError("pack > 1 puts trials in one process, workers > 1 several processes on a trial")
        return self


class SearchSpace(Settings):
    """A whole search: workload, methods, objective and budget."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    workload: dict[str, Any]
    objective: Objective = Objective()
    trials: int = Field(default=32, ge=1, description="per method")
    seed: int = Field(default=0, ge=0)
    confirm: Confirm = Confirm()
    resources: Resources = Resources()
    methods: dict[str, MethodSpace] = Field(min_length=1)

    @property
    def workload_name(self) -> str:
        """Registered name of the workload."""
        return str(self.workload.get("name", ""))

    @property
    def workload_settings(self) -> dict[str, Any]:
        """The workload's settings without its name."""
        return {key: value for key, value in self.workload.items() if key != "name"}


def space_from_values(values: Mapping[str, Any], where: str) -> SearchSpace:
    """Rebuild a space that was checked before, such as the one a sweep stored."""
    return SearchSpace.parse(values, where)
