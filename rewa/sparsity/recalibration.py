"""Batch-norm statistics of a model whose weights have changed, by pruning for example."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rewa.distributed import sum_over_ranks, world_size


def has_batch_norm(model: nn.Module) -> bool:
    """Return whether a model has a batch-norm layer with running statistics, one to recalibrate."""
    return any(True for _ in _tracking(model))


@torch.no_grad()
def recalibrate(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Recompute the running mean and variance of every batch-norm layer on some inputs.

    The statistics become plain averages over the batches: of each batch's mean and of its unbiased variance,
    every batch weighing the same. Only batch-norm layers are in training mode meanwhile, so that dropout and
    the like stay as in evaluation; a layer sees what those before it make of the batch's own statistics, as
    in training. Parameters, momenta and modes are as before afterwards.

    Layers without running statistics are left alone; a model without any others is returned from at once.
    When several processes train, ``batches`` are this one's share, and the averages are over the batches of
    all; every process must call this.

    Args:
        model: The model itself, not wrapped for several processes; modified in place.
        batches: Inputs, as the model takes them, on its device.

    Raises:
        ValueError: If there is no batch; the statistics are left as they were.
    """
    layers = list(_tracking(model))
    if not layers:
        return
    saved = [[statistic.clone() for statistic in _statistics(layer)] for layer in layers]
    modes = {module: module.training for module in model.modules()}
    momenta = [layer.momentum for layer in layers]
    done = False
    try:
        model.eval()
        for layer in layers:
            layer.train()
            layer.momentum = None  # a cumulative average
            layer.reset_running_stats()
        seen = 0
        for inputs in batches:
            model(inputs)
            seen += 1
        if world_size() > 1:
            seen = _average_over_ranks(layers, seen)
        if not seen:
            raise ValueError("recalibration needs at least one batch of inputs.")
        done = True
    finally:
        for module, mode in modes.items():
            module.training = mode
        for layer, momentum, before in zip(layers, momenta, saved, strict=True):
            layer.momentum = momentum
            if not done:
                for statistic, value in zip(_statistics(layer), before, strict=True):
                    statistic.copy_(value)


def _tracking(model: nn.Module) -> Iterator[_BatchNorm]:
    """Yield the batch-norm layers that have running statistics."""
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            yield module


def _statistics(layer: _BatchNorm) -> tuple[Tensor, Tensor, Tensor]:
    """Return a layer's running mean, running variance and number of batches."""
    mean, variance, count = layer.running_mean, layer.running_var, layer.num_batches_tracked
    assert mean is not None
    assert variance is not None
    assert count is not None
    return mean, variance, count


def _average_over_ranks(layers: list[_BatchNorm], seen: int) -> int:
    """Replace each layer's statistics by the average over all processes' batches; return their number."""
    device = _statistics(layers[0])[0].device
    total = int(sum_over_ranks(torch.tensor(seen, device=device)))
    for layer in layers:
        mean, variance, count = _statistics(layer)
        for statistic in (mean, variance):
            statistic.copy_(sum_over_ranks(statistic * seen) / max(total, 1))
        count.fill_(total)
    return total
