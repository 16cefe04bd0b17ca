"""Which weights stay when a model is pruned, and training on while the others stay at zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rewa.optim import prunable_weights
from rewa.sparsity.ranking import check_ratios, rank_weights


def top_masks(
    model: nn.Module, ratio: float, scores: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Return which weights :func:`rewa.sparsity.measure_frontier` keeps at a target ratio.

    Args:
        model: A model with plain weights; not changed.
        ratio: Target compression ratio, >= 1.
        scores: For each prunable weight, a tensor of its shape; larger is kept longer. Default: magnitude.

    Returns:
        For each prunable weight by name, a bool tensor of its shape, True where it is kept: n / ratio of all
        n weights, rounded down, some of which may be zero already.

    Raises:
        ValueError: If the model has no prunable weights, or the ratio is below 1.
    """
    check_ratios([ratio])
    ranking = rank_weights(model, scores)
    return ranking.mask(ranking.kept_at(ratio))


@torch.no_grad()
def apply_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set the weights to zero where their mask is False.

    Args:
        model: A model with plain weights; modified in place.
        masks: By name of the weight, a bool tensor of its shape. Weights without one are left alone.

    Raises:
        ValueError: If a mask is of no prunable weight, or of another shape.
    """
    for weight, pruned in _pruned(model, masks):
        weight.masked_fill_(pruned, 0)


class MaskHold:
    """Keeps pruned weights at exact zero while an optimizer steps; see :func:`hold_masks`.

    Before a step the gradients of pruned weights are set to zero; after it the weights themselves, and all
    state that has a weight's shape (momentum, Adam's moments, ReWA's latent).
    """

    def __init__(self, optimizer: Optimizer, pairs: list[tuple[nn.Parameter, Tensor]]) -> None:
        self._optimizer = optimizer
        self._pairs = pairs
        self._handles = [
            optimizer.register_step_pre_hook(self._before),
            optimizer.register_step_post_hook(self._after),
        ]
        self._clear()

    def remove(self) -> None:
        """Let the weights move again; may be called twice."""
        for handle in self._handles:
            handle.remove()

    @torch.no_grad()
    def _before(self, *_: Any) -> None:
        for weight, pruned in self._pairs:
            if weight.grad is not None:
                weight.grad.masked_fill_(pruned, 0)  # not a product: 0 * inf is NaN

    def _after(self, *_: Any) -> None:
        self._clear()

    @torch.no_grad()
    def _clear(self) -> None:
        for weight, pruned in self._pairs:
            # Past autograd's version counter: weight and latent are cleared together, so ReWA need not bring
            # them in line, which would cost a power per weight and step.
            weight.data.masked_fill_(pruned, 0)
            for value in self._optimizer.state.get(weight, {}).values():
                if isinstance(value, Tensor) and value.shape == weight.shape:
                    value.masked_fill_(pruned, 0)


def hold_masks(optimizer: Optimizer, model: nn.Module, masks: Mapping[str, Tensor]) -> MaskHold:
    """Apply masks and keep them through every step of an optimizer, whatever its momentum and weight decay.

    All other weights move exactly as they would without it, given their gradients. Gradients are masked when
    the step begins: whoever clips their norm before sees those of pruned weights too.

    Args:
        optimizer: Any optimizer over the model's parameters, such as SGD, AdamW or :class:`rewa.ReWA`; it may
            have taken steps before.
        model: A model with plain weights; its pruned weights become zero.
        masks: As for :func:`apply_masks`.

    Returns:
        The hold; its ``remove()`` ends it.

    Raises:
        ValueError: If a mask does not fit, or the optimizer has none of the masked weights.
    """
    pairs = _pruned(model, masks)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not any(id(weight) in held for weight, _ in pairs):
        raise ValueError("the optimizer has none of the masked weights: it belongs to another model.")
    return MaskHold(optimizer, pairs)


def _pruned(model: nn.Module, masks: Mapping[str, Tensor]) -> list[tuple[nn.Parameter, Tensor]]:
    """Return each masked weight with where it is pruned, on its device."""
    weights = prunable_weights(model)
    pairs = []
    for name, mask in masks.items():
        if name not in weights:
            raise ValueError(f"mask {name!r} is of no convolution or linear weight of the model.")
        weight = weights[name]
        if mask.shape != weight.shape or mask.dtype != torch.bool:
            raise ValueError(
                f"mask {name!r} must be bool of shape {tuple(weight.shape)}, "
                f"got {mask.dtype} of shape {tuple(mask.shape)}."
            )
        pairs.append((weight, ~mask.to(weight.device)))
    return pairs
