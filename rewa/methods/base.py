"""What a method is: a validated config, an optimizer, and how its weights are ranked for pruning."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from rewa.config import Settings
from rewa.linear import LinearProblem, LinearSolution
from rewa.optim import prunable_weights


class MethodConfig(Settings):
    """Base of the methods' settings; each method adds its own."""


class Method:
    """What all methods share: a name, settings, and a ranking of the weights.

    A method is a :class:`GradientMethod`, which trains any network, or a :class:`Solver`, which fits a linear
    model directly.

    Args:
        config: A validated instance of ``Config``.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Config: ClassVar[type[MethodConfig]]
    penalty_setting: ClassVar[str | None] = None
    """The setting that decides how sparse the model becomes; ``None`` where none does."""
    budget_name: ClassVar[str] = "decay_budget"
    """What :meth:`budget` is called."""

    def __init__(self, config: MethodConfig) -> None:
        self.config: Any = config

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Build the method from unvalidated settings.

        Raises:
            UserError: Naming the setting that is wrong.
        """
        return cls(cls.Config.parse(values, f"method {cls.name!r}"))

    def budget(self, schedule_sum: float) -> float | None:
        """Return what the penalty comes to over a whole training, in proportion to the ``penalty_setting``.

        Unlike the setting it has the learning rate, momentum and number of steps in it, so it says more of
        how sparse a model becomes. Default: ``None``, where no such number is known.

        Args:
            schedule_sum: Sum of the learning-rate factors over all steps.
        """
        return None

    def scores(self, weights: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
        """Rank the weights for pruning: larger stays longer.

        Args:
            weights: Prunable weights by name.
            seed: The trial's seed.

        Returns:
            One tensor per weight, of its shape. Default: the magnitude.
        """
        return {name: weight.detach().abs() for name, weight in weights.items()}


class LearningRateConfig(MethodConfig):
    """The setting that every gradient method has."""

    lr: float = Field(gt=0, description="base learning rate (the paper's gamma)")


class GradientConfig(LearningRateConfig):
    """Settings of a gradient method with heavy-ball momentum, as all that build on SGD."""

    momentum: float = Field(default=0.9, ge=0, lt=1)


class GradientMethod(Method, ABC):
    """A method that trains a model by gradient steps.

    Subclasses set the three class attributes and :meth:`prepare`; the others have working defaults.
    """

    @abstractmethod
    def prepare(self, model: nn.Module) -> Optimizer:
        """Make the model trainable by this method, in place, and return its optimizer."""

    def materialise(self, model: nn.Module) -> None:
        """Turn the model's weights into plain parameters, in place; undoes what ``prepare`` did."""

    def dense_copy(self, model: nn.Module) -> nn.Module:
        """Return a copy of the model with plain weights, to prune and evaluate."""
        dense = copy.deepcopy(model)
        self.materialise(dense)
        return dense


class Solver(Method, ABC):
    """A method that fits a linear model directly, without gradient steps, epochs or learning rate.

    It runs on workloads that are a linear problem (:meth:`rewa.workloads.base.Workload.linear_problem`).
    """

    @abstractmethod
    def solve(self, problem: LinearProblem, seed: int) -> LinearSolution:
        """Return the fitted weights and intercept; the seed decides whatever is drawn (folds)."""


def weights_and_rest(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Split the trainable parameters into prunable weights and all others."""
    weights = {id(p) for p in prunable_weights(model).values()}
    trainable = [p for p in model.parameters() if p.requires_grad]
    return (
        [p for p in trainable if id(p) in weights],
        [p for p in trainable if id(p) not in weights],
    )
