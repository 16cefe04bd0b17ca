"""ReWA: reparameterisation, weight decay and a coordinate-wise adaptive learning rate (Algorithm 1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import hardshrink
from torch.optim.optimizer import Optimizer, ParamsT
from torch.utils.weak import WeakTensorKeyDictionary

from rewa.optim.power import X_FLOOR, abs_power, latent_to_parameter, signed_root

Group = dict[str, Any]

ROUNDING = 1e-9
"""Relative room for K - 1 computed in floating point: 2.3 - 1 is a little less than 1.3."""


class ReWA(Optimizer):
    r"""Sparse training by Eq. 3 of the ReWA paper.

    With x = sign(y)\|y\|^K and g the gradient with respect to x, one step is

    .. math::
        b \leftarrow \mu b + \frac{|y|^{K-1}}{|y|^{K-1}+\epsilon}\,|y|^M g + \lambda y,
        \qquad y \leftarrow y - \gamma b, \qquad x = \mathrm{sign}(y)|y|^K .

    The parameters of the model stay x, so the forward pass needs no change. The latent y is kept in
    ``state[p]["latent"]`` in float32 (float64 for float64 parameters) and is the master copy. When somebody
    else writes to a parameter in place (``load_state_dict``, a mask, weight averaging) the next step notices
    and y follows; writes through ``p.data`` hide from autograd's version counter, so call
    :meth:`sync_latents` after those.

    At y = 0 the ratio is 1 when epsilon = 0, so M = 0 can leave zero while for M > 0 zero is absorbing.
    Parameters with K = 1 and M = 0 are plain SGD with weight decay; :func:`rewa.param_groups` puts biases and
    normalisation there.

    Args:
        params: Parameters or parameter groups.
        lr: Learning rate, the paper's gamma; >= 0.
        K: Power of the reparameterisation; real, >= 1.
        M: Exponent of the adaptive learning rate; 0 <= M <= K - 1 (M = K - 1 with epsilon = 0 is the
            non-adaptive iteration).
        epsilon: The paper's stabiliser, exactly as in Eq. 3; >= 0. (The authors' code uses K * epsilon.)
        weight_decay: The paper's lambda, on y, inside the bracket that enters the momentum buffer; >= 0.
        momentum: Heavy-ball coefficient in [0, 1).
        foreach: Use the multi-tensor path; ``None`` chooses it when all parameters are on a CUDA device.

    Raises:
        ValueError: If a value is out of its range or NaN.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        K: float = 9,
        M: float = 2,
        epsilon: float = 0.0,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        foreach: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "K": K,
            "M": M,
            "epsilon": epsilon,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "foreach": foreach,
        }
        self._written = WeakTensorKeyDictionary()
        super().__init__(params, defaults)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group; its missing hyper-parameters take the defaults, and all are checked."""
        _check({**self.defaults, **param_group})
        super().add_param_group(param_group)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore from a pickle; what was last written to the parameters is not part of it."""
        super().__setstate__(state)
        self._written = WeakTensorKeyDictionary()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; parameters whose gradient is ``None`` are left alone.

        Args:
            closure: Re-evaluates the model and returns the loss.

        Returns:
            The closure's loss, or ``None``.

        Raises:
            RuntimeError: For sparse or complex gradients.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for p in params:
                _refuse_unsupported(p)
            latents = [self._latent(p, group["K"]) for p in params]
            grads = [p.grad.to(y.dtype) for p, y in zip(params, latents, strict=True)]
            buffers = [self._buffer(p, y, group) for p, y in zip(params, latents, strict=True)]
            update = _foreach_update if _use_foreach(group, params) else _single_update
            update(latents, grads, buffers, group)
            self._write(params, latents, group["K"])
        return loss

    @torch.no_grad()
    def sync_latents(self) -> None:
        """Make every latent follow its parameter, wherever the two disagree.

        Needed only after writes that autograd's version counter does not see, such as ``p.data.mul_(mask)``.
        """
        for group in self.param_groups:
            for p in group["params"]:
                if "latent" in self.state[p]:
                    self._resync(p, group["K"])

    def _latent(self, p: Tensor, K: float) -> Tensor:
        """Return the latent of ``p``, created or brought up to date as needed."""
        master = torch.float64 if p.dtype == torch.float64 else torch.float32
        if K == 1 and p.dtype == master:
            return p  # y is x: nothing to store
        state = self.state[p]
        if "latent" not in state:
            state["latent"] = signed_root(p.detach().to(master), K)
        elif p not in self._written or self._written[p] != (p._version, p.data_ptr(), K):
            self._resync(p, K)
        latent: Tensor = state["latent"]
        return latent

    def _resync(self, p: Tensor, K: float) -> None:
        """Recompute the latent where ``p`` no longer is what the latent stands for, and only there."""
        state = self.state[p]
        latent = state["latent"]
        changed = latent_to_parameter(latent, K).to(p.dtype) != p
        if p in self._written:  # a zero that somebody else wrote is a zero, also where x was one already
            changed |= (p == 0) & (latent != 0)
        latent.copy_(torch.where(changed, signed_root(p.detach().to(latent.dtype), K), latent))
        if "momentum_buffer" in state:  # or its momentum would carry a masked weight away from zero
            state["momentum_buffer"].masked_fill_(changed & (p == 0), 0.0)

    def _buffer(self, p: Tensor, latent: Tensor, group: Group) -> Tensor | None:
        """Return the momentum buffer (zeros at first, so that b = bracket on the first step)."""
        if group["momentum"] == 0:
            return None
        state = self.state[p]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(latent, memory_format=torch.preserve_format)
        buffer: Tensor = state["momentum_buffer"]
        return buffer

    def _write(self, params: list[Tensor], latents: list[Tensor], K: float) -> None:
        """Write x = y^K into the parameters and remember that it was us."""
        for p, y in zip(params, latents, strict=True):
            if p is not y:
                p.copy_(latent_to_parameter(y, K))
                self._written[p] = (p._version, p.data_ptr(), K)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state; latents and momenta keep the precision they were saved in.

        (torch casts state to the parameter's dtype, which would round a float32 latent under bf16.)
        """
        for group in state_dict["param_groups"]:
            _check({**self.defaults, **group})
        super().load_state_dict(state_dict)
        self._written = WeakTensorKeyDictionary()
        params = [p for group in self.param_groups for p in group["params"]]
        indices = [i for group in state_dict["param_groups"] for i in group["params"]]
        for p, index in zip(params, indices, strict=True):
            for name, value in state_dict["state"].get(index, {}).items():
                self.state[p][name] = value.detach().clone().to(p.device)


def _single_update(
    latents: list[Tensor], grads: list[Tensor], buffers: list[Tensor | None], group: Group
) -> None:
    """Eq. 3 on the latents, one tensor at a time."""
    lr, K, M, epsilon = group["lr"], group["K"], group["M"], group["epsilon"]
    for y, grad, buffer in zip(latents, grads, buffers, strict=True):
        bracket = grad
        if M > 0:
            bracket = bracket * abs_power(hardshrink(y, X_FLOOR ** (1.0 / M)).abs(), M)
        if epsilon > 0:
            power = abs_power(y.abs(), K - 1)
            bracket = bracket * (power / (power + max(epsilon, X_FLOOR)))
        if group["weight_decay"] != 0:
            bracket = torch.add(bracket, y, alpha=group["weight_decay"])
        if buffer is not None:
            bracket = buffer.mul_(group["momentum"]).add_(bracket)
        y.add_(bracket, alpha=-lr)


def _foreach_update(
    latents: list[Tensor], grads: list[Tensor], buffers: list[Tensor | None], group: Group
) -> None:
    """Eq. 3 on all latents at once."""
    K, M, epsilon = group["K"], group["M"], group["epsilon"]
    brackets = grads
    if M > 0:
        shrunk = [hardshrink(y, X_FLOOR ** (1.0 / M)) for y in latents]
        brackets = list(torch._foreach_mul(_foreach_abs_power(shrunk, M), brackets))
    if epsilon > 0:
        ratio = _foreach_abs_power(latents, K - 1)
        torch._foreach_div_(ratio, torch._foreach_add(ratio, max(epsilon, X_FLOOR)))
        brackets = list(torch._foreach_mul(ratio, brackets))
    if group["weight_decay"] != 0:
        brackets = list(torch._foreach_add(brackets, latents, alpha=group["weight_decay"]))
    if group["momentum"] != 0:
        momenta = [b for b in buffers if b is not None]
        torch._foreach_mul_(momenta, group["momentum"])
        torch._foreach_add_(momenta, brackets)
        brackets = momenta
    torch._foreach_add_(latents, brackets, alpha=-group["lr"])


def _foreach_abs_power(tensors: list[Tensor], exponent: float) -> list[Tensor]:
    """Return |t| ** exponent for each tensor, by multiplication for integer exponents."""
    magnitudes = list(torch._foreach_abs(tensors))
    if exponent == int(exponent):
        return [abs_power(m, exponent) for m in magnitudes]
    return list(torch._foreach_pow(magnitudes, exponent))


def _use_foreach(group: Group, params: Iterable[Tensor]) -> bool:
    """Follow the group's choice, else use the multi-tensor path on CUDA, as torch's own optimizers do."""
    chosen: bool | None = group["foreach"]
    if chosen is None:
        return all(p.is_cuda for p in params)
    return chosen


def _refuse_unsupported(p: Tensor) -> None:
    """Raise RuntimeError for a sparse or complex gradient."""
    assert p.grad is not None
    if p.grad.is_sparse:
        raise RuntimeError("ReWA does not support sparse gradients; use a dense gradient (sparse=False).")
    if p.grad.is_complex():
        raise RuntimeError("ReWA does not support complex parameters; view them as real tensors.")


def _check(group: Group) -> None:
    """Raise ValueError for a hyper-parameter out of its range; NaN is out of every range."""
    lr, K, M, momentum = group["lr"], group["K"], group["M"], group["momentum"]
    if not (lr >= 0 and math.isfinite(lr)):
        raise ValueError(f"lr = {lr} is out of range: it must be finite and >= 0.")
    if not (K >= 1 and math.isfinite(K)):
        raise ValueError(f"K = {K} is out of range: it must be finite and >= 1.")
    if not 0 <= M <= (K - 1) * (1 + ROUNDING):
        raise ValueError(f"M = {M} is out of range: it must satisfy 0 <= M <= K - 1 = {K - 1}.")
    for name in ("epsilon", "weight_decay"):
        if not (group[name] >= 0 and math.isfinite(group[name])):
            raise ValueError(f"{name} = {group[name]} is out of range: it must be finite and >= 0.")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum = {momentum} is out of range: it must satisfy 0 <= momentum < 1.")
