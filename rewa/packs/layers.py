"""Layers of several fully connected networks at once: batched products, forward and backward.

Shapes: T rows (networks), B samples. Activations are (T, B, features), weights (T, out, in).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

POINTWISE = (
    *(nn.ReLU, nn.LeakyReLU, nn.ReLU6, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid),
    *(nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardswish, nn.LogSigmoid),
)
"""Activations that act on each number alone and hold no parameters."""

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Layer(ABC):
    """One layer of all rows."""

    @abstractmethod
    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs, and keep what :meth:`backward` needs."""

    @abstractmethod
    def backward(self, grad: Tensor, wanted: bool) -> Tensor:
        """Take the loss's gradient by the outputs, write those of the weights, return that by the inputs.

        Args:
            grad: Of the shape of the outputs; may be overwritten.
            wanted: Whether the gradient by the inputs is; if not, anything may be returned.
        """


class LinearLayer(Layer):
    """``nn.Linear`` of all rows; buffers are kept from step to step.

    Attributes:
        weight: Shape (T, out, in).
        bias: Shape (T, 1, out), or ``None``.
        weight_grad: Of the weight's shape, written by :meth:`backward`; so is ``bias_grad``.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self.bias = weight, bias
        self.weight_grad = torch.zeros_like(weight)
        self.bias_grad = None if bias is None else torch.zeros_like(bias)
        self._transposed = weight.transpose(1, 2)
        self._buffers: dict[tuple[str, int], Tensor] = {}
        self._inputs = weight

    def forward(self, inputs: Tensor) -> Tensor:
        """Return x W^T + b."""
        self._inputs = inputs
        outputs = self._buffer("outputs", inputs, self.weight.shape[1])
        if self.bias is None:
            return torch.bmm(inputs, self._transposed, out=outputs)
        return torch.baddbmm(self.bias, inputs, self._transposed, out=outputs)

    def backward(self, grad: Tensor, wanted: bool) -> Tensor:
        """Write grad^T x, and return grad W."""
        torch.bmm(grad.transpose(1, 2), self._inputs, out=self.weight_grad)
        if self.bias_grad is not None:
            torch.sum(grad, dim=1, keepdim=True, out=self.bias_grad)
        if not wanted:
            return grad
        return torch.bmm(grad, self.weight, out=self._buffer("grad", grad, self.weight.shape[2]))

    def _buffer(self, what: str, like: Tensor, features: int) -> Tensor:
        """Return memory for a result, the same for every batch of a size: fresh memory is slow to touch."""
        key = (what, like.shape[1])
        if key not in self._buffers:
            self._buffers[key] = like.new_empty(*like.shape[:2], features)
        return self._buffers[key]


class ReLULayer(Layer):
    """``nn.ReLU``, in place: its inputs are a linear layer's outputs, which nobody else needs."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return max(x, 0)."""
        self._outputs = inputs.relu_()
        return self._outputs

    def backward(self, grad: Tensor, wanted: bool) -> Tensor:
        """Return the gradient where the output is above zero."""
        torch.ops.aten.threshold_backward.grad_input(grad, self._outputs, 0.0, grad_input=grad)
        return grad


class PointwiseLayer(Layer):
    """Any other activation, differentiated by autograd; it may work in place."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the activation."""
        with torch.enable_grad():
            self._inputs = inputs.detach().requires_grad_()
            self._outputs = self.module(self._inputs.clone())
        outputs: Tensor = self._outputs.detach()
        return outputs

    def backward(self, grad: Tensor, wanted: bool) -> Tensor:
        """Return the chain rule's product."""
        return torch.autograd.grad(self._outputs, self._inputs, grad)[0]


def chain(model: nn.Module) -> list[tuple[str, nn.Module]] | None:
    """Return the layers of a network that is a plain chain, by name, in order.

    Nested ``nn.Sequential`` are opened; ``nn.Identity``, and ``nn.Flatten`` at the start, are left out.

    Returns:
        ``None`` if there is another kind of layer, if a linear layer is used twice or does not come first, or
        if a module has hooks or buffers.
    """
    found = _opened("", model)
    if found and flattens(model):
        found = found[1:]
    if not found or not isinstance(found[0][1], nn.Linear) or list(model.buffers()):
        return None
    linear = [id(module) for _, module in found if isinstance(module, nn.Linear)]
    others = {type(module) for _, module in found if not isinstance(module, nn.Linear)}
    return found if len(linear) == len(set(linear)) and others <= set(POINTWISE) else None


def structure(model: nn.Module) -> list[tuple[str, str]] | None:
    """Return what the layers of a chain are, whatever their weights; ``None`` if it is none."""
    found = chain(model)
    if found is None:
        return None
    return [
        (name, f"{m.in_features} to {m.out_features}" if isinstance(m, nn.Linear) else repr(m))
        for name, m in found
    ]


def flattens(model: nn.Module) -> bool:
    """Return whether a chain begins by flattening each sample."""
    found = _opened("", model) or [("", model)]
    first = found[0][1]
    return isinstance(first, nn.Flatten) and (first.start_dim, first.end_dim) == (1, -1)


def _opened(name: str, module: nn.Module) -> list[tuple[str, nn.Module]] | None:
    if any(getattr(module, hooks) for hooks in _HOOKS) or "forward" in vars(module):
        return None
    if type(module) is nn.Sequential:
        found: list[tuple[str, nn.Module]] = []
        for child_name, child in module._modules.items():  # named_children would leave out repetitions
            part = None if child is None else _opened(f"{name}.{child_name}" if name else child_name, child)
            if part is None:
                return None
            found += part
        return found
    if type(module) is nn.Identity:
        return []
    kind = type(module).__base__ if parametrize.is_parametrized(module) else type(module)
    return [(name, module)] if kind in (nn.Linear, nn.Flatten, *POINTWISE) else None


def layer_for(module: nn.Module, after_linear: bool) -> Layer:
    """Return the layer of all rows for an activation.

    Args:
        module: One that :func:`chain` lets pass, not linear.
        after_linear: Whether its inputs are a linear layer's outputs.
    """
    return ReLULayer() if type(module) is nn.ReLU and after_linear else PointwiseLayer(module)


class Network:
    """The layers of all rows in a chain."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = list(layers)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs; shape (T, B, features)."""
        for layer in self.layers:
            inputs = layer.forward(inputs)
        return inputs

    def backward(self, grad: Tensor) -> None:
        """Write the gradients of all weights for the batch of the last :meth:`forward`."""
        for number in reversed(range(len(self.layers))):
            grad = self.layers[number].backward(grad, wanted=number > 0)
