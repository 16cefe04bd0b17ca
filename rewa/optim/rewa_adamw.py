"""ReWA with AdamW as its base (Algorithm 2)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.adamw import adamw
from torch.optim.optimizer import ParamsT

from rewa.kernels import ADAMW, settings_row
from rewa.optim.checks import Group, below_one, learning_rate, non_negative, powers
from rewa.optim.latent import LatentOptimizer


class ReWAAdamW(LatentOptimizer):
    r"""Sparse training by Algorithm 2 of the ReWA paper.

    With x = sign(y)\|y\|^K and g the gradient with respect to x, the scaled gradient

    .. math::
        \tilde g = \frac{|y|^{K-1}}{|y|^{K-1}+\epsilon}\,|y|^M g

    feeds Adam's two moments, and weight decay is decoupled:
    y <- y (1 - lr * weight_decay) - lr * m_hat / (sqrt(v_hat) + eps). Adam divides by the gradient's size and
    so acts like M = 0 already, which is the default; M > 0 makes zero absorbing. See
    :class:`~rewa.optim.latent.LatentOptimizer` for how y is kept.

    Args:
        params: Parameters or parameter groups; :func:`rewa.param_groups` makes them from a model.
        lr: Learning rate, the paper's gamma; >= 0; a float, or a tensor with one element (which needs
            ``capturable`` with the multi-tensor kernels).
        K: Power of the reparameterisation; real, >= 1.
        M: Exponent of the adaptive learning rate; 0 <= M <= K - 1.
        epsilon: The paper's stabiliser, as in Eq. 3; >= 0.
        betas: Decay rates of the two moments, each in [0, 1).
        eps: Adam's own epsilon; >= 0. As in torch, 0 divides by zero where no gradient came yet.
        weight_decay: The paper's lambda, decoupled; >= 0.
        amsgrad: Use the largest second moment so far.
        maximize: Ascend the objective.
        foreach: Use the multi-tensor kernels; ``None`` chooses them on CUDA devices. The plain loop over
            parameters is ``foreach=False, fused=False``.
        fused: Take the whole step in one pass over memory (:mod:`rewa.kernels`): on a CPU compiled by numba,
            on a CUDA device by Triton, which has not been run on hardware yet. It is for float32 parameters
            and lr as a number (amsgrad excepted); ``None`` chooses it on CPUs only, if numba is there and
            ``foreach`` is not True. Where it cannot be taken, ``True`` means torch's fused AdamW kernel for
            the step on y.
        capturable: Safe to capture in a CUDA graph.

    Raises:
        ValueError: If a value is out of its range or NaN, or settings contradict each other.
    """

    _MOMENTA = ("exp_avg",)
    _MOMENTS = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor,
        K: float = 9,
        M: float = 0,
        epsilon: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "K": K,
            "M": M,
            "epsilon": epsilon,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "fused": fused,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    @staticmethod
    def _check(group: Group) -> None:
        learning_rate(group)
        non_negative(group, "epsilon", "eps", "weight_decay")
        powers(group)
        below_one({"betas[0]": group["betas"][0], "betas[1]": group["betas"][1]}, "betas[0]", "betas[1]")
        if group["foreach"] and group["fused"]:
            raise ValueError("foreach and fused cannot both be True.")
        if isinstance(group["lr"], Tensor) and group["foreach"] and not group["capturable"]:
            raise ValueError("lr as a tensor with foreach = True needs capturable = True.")

    def _update(self, params: list[Tensor], latents: list[Tensor], grads: list[Tensor], group: Group) -> None:
        for p, y in zip(params, latents, strict=True):
            self._start(p, y, group)
        states = [self.state[p] for p in params]
        beta1, beta2 = group["betas"]
        adamw(
            latents,
            grads,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [state["max_exp_avg_sq"] for state in states] if group["amsgrad"] else [],
            [state["step"] for state in states],
            foreach=group["foreach"],
            capturable=group["capturable"],
            fused=group["fused"],
            amsgrad=group["amsgrad"],
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
        )

    def _one_pass(self, params: list[Tensor], group: Group) -> bool:
        return not group["amsgrad"] and super()._one_pass(params, group)

    def _settings(
        self, params: list[Tensor], latents: list[Tensor], group: Group
    ) -> tuple[list[tuple[float, ...]], list[int]]:
        """One row per number of steps taken: parameters that joined later are corrected otherwise."""
        for p, latent in zip(params, latents, strict=True):
            self._start(p, latent, group)
        counts = [self.state[p]["step"] for p in params]
        torch._foreach_add_(counts, 1)
        steps = [count.item() for count in counts]
        beta1, beta2 = group["betas"]
        names = ("maximize", "K", "M", "epsilon", "weight_decay")
        shared = {name: group[name] for name in names} | {"beta1": beta1, "beta2": beta2}
        different = sorted(set(steps))
        rows = [
            settings_row(
                ADAMW,
                group["lr"],
                **shared,
                adam_eps=group["eps"],
                correction1=1 - beta1**step,
                correction2=1 - beta2**step,
            )
            for step in different
        ]
        return rows, [different.index(step) for step in steps]

    def _start(self, p: Tensor, latent: Tensor, group: Group) -> None:
        """Create the moments and the step count of a parameter that has none yet."""
        state = self.state[p]
        if "step" not in state:
            on_device = group["capturable"] or group["fused"]
            state["step"] = torch.zeros((), dtype=torch.float32, device=p.device if on_device else "cpu")
            state["exp_avg"] = torch.zeros_like(latent, memory_format=torch.preserve_format)
            state["exp_avg_sq"] = torch.zeros_like(latent, memory_format=torch.preserve_format)
        if group["amsgrad"] and "max_exp_avg_sq" not in state:
            state["max_exp_avg_sq"] = torch.zeros_like(latent, memory_format=torch.preserve_format)
