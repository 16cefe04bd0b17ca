"""The step of a parameter group in one pass over memory, by :mod:`rewa.kernels`, where that is possible."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from rewa.kernels import ArrayStep, UpdatePlan, new_table
from rewa.kernels.device_plan import DevicePlan
from rewa.kernels.plan import is_dense, same_layout
from rewa.optim.checks import Group


@cache
def numba_is_here() -> bool:
    """Return whether the kernels can be compiled; they are an addition, not a requirement."""
    return find_spec("numba") is not None


@cache
def triton_is_here() -> bool:
    """Return whether the kernel for CUDA devices can be compiled."""
    return find_spec("triton") is not None


def takes_one_pass(params: Sequence[Tensor], group: Group) -> bool:
    """Return whether a one-pass kernel is to step these parameters.

    On the CPU it is unless ``fused`` is False or ``foreach`` True, if all parameters are plain dense float32
    tensors, lr is a number, and numba can be imported. On a CUDA device ``fused`` must be True, and triton
    importable. Groups that are plain SGD or AdamW (K = 1, M = 0, epsilon = 0) are left to torch's own
    kernels; so is everything inside ``torch.compile``.
    """
    if group["fused"] is False or group["foreach"] or group["capturable"]:
        return False
    if group["K"] == 1 and group["M"] == 0 and group["epsilon"] == 0:
        return False
    if isinstance(group["lr"], Tensor) or torch.compiler.is_compiling():
        return False
    device = params[0].device
    if device.type == "cpu":
        possible = numba_is_here()
    else:
        possible = device.type == "cuda" and group["fused"] is True and triton_is_here()
    return possible and all(
        type(p) in (nn.Parameter, Tensor)
        and p.dtype == torch.float32
        and p.device == device
        and type(p.grad) is Tensor
        and is_dense(p)
        for p in params
    )


class GroupPlan:
    """The plan of one group, kept from step to step while its tensors stay where they are.

    Args:
        params: The parameters.
        latents: Their latents, y; a parameter itself where it needs none.
        first: Momentum, or Adam's first moment, of each; ``None`` without.
        second: Adam's second moment of each; ``None`` for SGD.
    """

    def __init__(
        self,
        params: Sequence[Tensor],
        latents: Sequence[Tensor],
        first: Sequence[Tensor | None],
        second: Sequence[Tensor | None],
    ) -> None:
        self._tensors = list(zip(params, latents, first, second, strict=True))
        self._places = [_places(tensors) for tensors in self._tensors]
        plan: type[UpdatePlan] | type[DevicePlan] = DevicePlan if params[0].is_cuda else UpdatePlan
        self._plan = plan(
            [
                ArrayStep(
                    0,
                    latent.detach(),
                    weight=None if p is latent else p.detach(),
                    momentum=m,
                    second_momentum=v,
                )
                for p, latent, m, v in self._tensors
            ]
        )

    def fits(
        self,
        params: Sequence[Tensor],
        latents: Sequence[Tensor],
        first: Sequence[Tensor | None],
        second: Sequence[Tensor | None],
    ) -> bool:
        """Return whether these are still the plan's tensors, in the same memory."""
        if len(params) != len(self._tensors):
            return False
        for tensors, held, places in zip(
            zip(params, latents, first, second, strict=True), self._tensors, self._places, strict=True
        ):
            if any(one is not other for one, other in zip(tensors, held, strict=True)):
                return False
            if _places(tensors) != places:
                return False
        return True

    def step(self, rows: Sequence[tuple[float, ...]], row_of: Sequence[int]) -> None:
        """Step with the parameters' present gradients; the settings are rows, one number per parameter."""
        table = new_table(rows)
        self._plan.rows[:] = row_of
        params = [tensors[0] for tensors in self._tensors]
        self._plan.set_grads([p.grad for p in params if p.grad is not None])
        try:
            self._plan.run(table)
        finally:
            self._plan.drop_grads()
        torch.autograd.graph.increment_version(params)


def aligned(value: Tensor, p: Tensor) -> Tensor:
    """Return state in the layout of its parameter, which is dense: itself, or a copy if in another one."""
    if same_layout(value, p):
        return value
    return torch.empty_like(p, dtype=value.dtype, requires_grad=False).copy_(value)


def _places(tensors: Sequence[Tensor | None]) -> list[tuple[object, ...] | None]:
    """Return where tensors are in memory, and how they are laid out there."""
    return [None if t is None else (t.data_ptr(), t.stride()) for t in tensors]
