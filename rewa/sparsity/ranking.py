"""One global order of a model's prunable weights, which everything that prunes by ratio shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rewa.optim import prunable_weights

LARGEST = 2**31 - 1
"""The largest int32, beyond the bits of infinity."""


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
        return self.split(kept)

    def split(self, flat: Tensor) -> dict[str, Tensor]:
        """Return the parts of a flat vector, ordered as ``values``, by name and in the weights' shapes."""
        pieces = torch.split(flat, [w.numel() for w in self.weights.values()])
        return {
            name: piece.view(w.shape) for (name, w), piece in zip(self.weights.items(), pieces, strict=True)
        }


class Pruning:
    """Prunes a ranked model further and further: a step costs what it removes and one copy of the weights.

    The weights' values are held a second time, with zeros where they are pruned.

    Args:
        ranking: Of the model, whose weights are the ranked values.
    """

    def __init__(self, ranking: Ranking) -> None:
        self._ranking = ranking
        self._flat = ranking.values.clone()
        self._pieces = ranking.split(self._flat)
        self._kept = ranking.values.numel()
        self._nonzero = int(torch.count_nonzero(self._flat))

    @torch.no_grad()
    def prune_to(self, keep: int) -> int:
        """Set the weights to their ranked values, the first ``keep`` of the order, and to 0 beyond.

        Args:
            keep: At most as many as are kept.

        Returns:
            How many weights are not zero.
        """
        if keep > self._kept:
            raise ValueError(f"{self._kept} weights are left, {keep} cannot be kept.")
        removed = self._ranking.order[keep : self._kept]
        if self._nonzero == self._kept:  # there is no zero among them, so none need be counted
            self._nonzero = keep
        else:
            self._nonzero -= int(torch.count_nonzero(self._flat.index_select(0, removed)))
        self._flat.index_fill_(0, removed, 0)
        self._kept = keep
        self._write(self._pieces)
        return self._nonzero

    def undo(self) -> None:
        """Set the weights to their ranked values again."""
        self._write(self._ranking.split(self._ranking.values))

    @torch.no_grad()
    def _write(self, pieces: Mapping[str, Tensor]) -> None:
        """Copy values into the weights."""
        for name, piece in pieces.items():
            self._ranking.weights[name].copy_(piece)


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
    return Ranking(weights, values, descending(ranked))


def descending(scores: Tensor) -> Tensor:
    """Return the positions of a vector's entries from the largest to the smallest, int64, NaN first.

    Equal entries stay in order, as in torch's stable sort, which this is. On a CPU the bits of floats are
    sorted as integers of the same order: torch sorts those by radix, 4 to 8 times faster from 10^5 on.
    """
    if scores.device.type != "cpu" or not scores.is_floating_point() or scores.dtype.itemsize > 4:
        return scores.argsort(descending=True, stable=True)
    keys = (scores.float() + 0.0).view(torch.int32)  # the sum turns -0 into 0
    keys.bitwise_xor_(
        (keys >> 31).bitwise_and_(LARGEST)
    )  # negative floats have their bits the other way round
    keys.masked_fill_(scores.isnan(), LARGEST)
    return keys.bitwise_not_().argsort(stable=True)


def check_ratios(ratios: Sequence[float]) -> None:
    """Raise ValueError if a target ratio is below 1 or NaN."""
    wrong = [ratio for ratio in ratios if not ratio >= 1]
    if wrong:
        raise ValueError(f"target ratios must be >= 1, got {min(wrong)}.")
