"""Which parameters are reparameterised and pruned, and which are left plain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import is_parametrized


def prunable_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield (name, module) of every convolution and linear layer, transposed ones included."""
    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, _ConvNd)):
            yield name, module


def prunable_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights that sparsity is counted over: convolution and linear weights, no biases.

    This is the denominator of every ``compression`` in this project. A weight that two layers share counts
    once.

    Args:
        model: A model without parametrizations on its weights.

    Returns:
        Parameter by dotted name, in the model's order.

    Raises:
        ValueError: If a layer's weight is still parametrized: remove the parametrization first.
    """
    found: dict[int, tuple[str, nn.Parameter]] = {}
    for name, module in prunable_modules(model):
        if is_parametrized(module, "weight"):
            raise ValueError(
                f"layer {name!r} is parametrized; remove its parametrization before counting weights."
            )
        weight = module.weight
        assert isinstance(weight, nn.Parameter)
        found.setdefault(id(weight), (f"{name}.weight" if name else "weight", weight))
    return dict(found.values())


def param_groups(model: nn.Module, *, plain_weight_decay: float = 0.0, **plain: Any) -> list[dict[str, Any]]:
    """Split a model's parameters for :class:`rewa.ReWA`.

    Convolution and linear weights take the optimizer's own K, M, epsilon and weight_decay. Everything else
    (biases, normalisation, embeddings) goes to a plain group: K = 1, M = 0, that is, SGD; under M > 0 a bias
    that starts at zero could never move. Frozen parameters are left out.

    Args:
        model: Any module.
        plain_weight_decay: Weight decay of the plain group; default 0.
        **plain: Further settings of the plain group, such as ``lr`` or ``momentum``.

    Returns:
        The reparameterised group and the plain group; an empty one is left out.

    Raises:
        ValueError: If the model has no trainable parameter.

    Example:
        >>> optimizer = rewa.ReWA(rewa.param_groups(model), lr=0.06, K=9, M=2, weight_decay=1e-3)
    """
    weights = {id(p) for p in prunable_weights(model).values()}
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise ValueError("the model has no parameter that requires a gradient: nothing to optimise.")
    reparameterised: dict[str, Any] = {"params": [p for p in trainable if id(p) in weights]}
    rest: dict[str, Any] = {
        "params": [p for p in trainable if id(p) not in weights],
        "K": 1,
        "M": 0,
        "epsilon": 0.0,
        "weight_decay": plain_weight_decay,
        **plain,
    }
    return [group for group in (reparameterised, rest) if group["params"]]
