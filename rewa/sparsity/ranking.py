"""One global order of a model's prunable weights, which everything that prunes by ratio shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rewa.optim import prunable_weights


@dataclass(frozen=True)
class Ranking:
    """The prunable weights of a model from the one kept longest to the one removed first.

    Attributes:
        weights: The model's own parameters by name, in its order.
        values: Their values when they were ranked, flat, n of them: a copy.
        order: Positions in ``values``, int64, shape (n,). Equal scores stay in the model's order.
    """

    weights: dict[str, nn.Parameter]
    values: Tensor
    order: Tensor

    def kept_at(self, ratio: float) -> int:
        """Return how many weights are kept at a target ratio: n / ratio rounded down, but one at least."""
        return max(1, int(self.values.numel() // ratio))

    def mask(self, keep: int) -> dict[str, Tensor]:
        """Return, by name and in the weights' shapes, which weights are among the first ``keep``."""
        kept = torch.zeros(self.values.numel(), dtype=torch.bool, device=self.values.device)
        kept[self.order[:keep]] = True
        return self._split(kept)

    @torch.no_grad()
    def write(self, keep: int) -> None:
        """Set the weights to their ranked values, the first ``keep`` of the order, and to 0 beyond."""
        flat = self.values.clone()
        flat[self.order[keep:]] = 0
        for name, piece in self._split(flat).items():
            self.weights[name].copy_(piece)

    def _split(self, flat: Tensor) -> dict[str, Tensor]:
        """Return a flat vector in the weights' shapes."""
        pieces = torch.split(flat, [w.numel() for w in self.weights.values()])
        return {
            name: piece.view(w.shape) for (name, w), piece in zip(self.weights.items(), pieces, strict=True)
        }


def rank_weights(model: nn.Module, scores: Mapping[str, Tensor] | None = None) -> Ranking:
    """Rank a model's prunable weights.

    Args:
        model: A model with plain weights.
        scores: For each prunable weight, a tensor of its shape; larger is kept longer. Default: magnitude.

    Raises:
        ValueError: If the model has no prunable weights.
    """
    weights = prunable_weights(model)
    if not weights:
        raise ValueError("the model has no convolution or linear weights to prune.")
    values = torch.cat([w.detach().flatten() for w in weights.values()])
    ranked = values.abs() if scores is None else torch.cat([scores[name].flatten() for name in weights])
    return Ranking(weights, values, ranked.argsort(descending=True, stable=True))


def check_ratios(ratios: Sequence[float]) -> None:
    """Raise ValueError if a target ratio is below 1 or NaN."""
    wrong = [ratio for ratio in ratios if not ratio >= 1]
    if wrong:
        raise ValueError(f"target ratios must be >= 1, got {min(wrong)}.")
