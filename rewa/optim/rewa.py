"""ReWA with SGD as its base (Algorithm 1): reparameterisation, weight decay, adaptive learning rate."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT
from torch.optim.sgd import sgd

from rewa.kernels import REWA, settings_row
from rewa.optim.checks import Group, below_one, learning_rate, non_negative, powers
from rewa.optim.latent import LatentOptimizer


class ReWA(LatentOptimizer):
    r"""Sparse training by Eq. 3 of the ReWA paper.

    With x = sign(y)\|y\|^K and g the gradient with respect to x, one step is

    .. math::
        b \leftarrow \mu b + \frac{|y|^{K-1}}{|y|^{K-1}+\epsilon}\,|y|^M g + \lambda y,
        \qquad y \leftarrow y - \gamma b, \qquad x = \mathrm{sign}(y)|y|^K .

    That is ``torch.optim.SGD`` on y with an adaptive factor on its gradient. The parameters of
    the model stay x, so the forward pass needs no change; see
    :class:`~rewa.optim.latent.LatentOptimizer` for how y is kept.

    At y = 0 the ratio is 1 when epsilon = 0, so M = 0 can leave zero while for M > 0 zero is absorbing.
    Parameters with K = 1 and M = 0 are plain SGD with weight decay; :func:`rewa.param_groups` puts biases and
    normalisation there.

    Args:
        params: Parameters or parameter groups.
        lr: Learning rate, the paper's gamma; >= 0; a float or a tensor with one element.
        K: Power of the reparameterisation; real, >= 1.
        M: Exponent of the adaptive learning rate; 0 <= M <= K - 1 (M = K - 1 with epsilon = 0 is the
            non-adaptive iteration).
        epsilon: The paper's stabiliser, exactly as in Eq. 3; >= 0. (The authors' code uses K * epsilon.)
        weight_decay: The paper's lambda, on y, inside the bracket that enters the momentum buffer; >= 0.
        momentum: Heavy-ball coefficient in [0, 1).
        nesterov: Nesterov momentum; needs momentum > 0 and no dampening.
        dampening: Share of the bracket kept out of the momentum buffer, in [0, 1).
        maximize: Ascend the objective; weight decay still shrinks y.
        foreach: Use the multi-tensor kernels; ``None`` chooses them on CUDA devices. The plain loop over
            parameters is ``foreach=False, fused=False``.
        fused: Take the whole step in one pass over memory (:mod:`rewa.kernels`): on a CPU compiled by numba,
            on a CUDA device by Triton, which has not been run on hardware yet. It is for float32 parameters
            and lr as a number; ``None`` chooses it on CPUs only, if numba is there and
            ``foreach`` is not True. Where it cannot be taken, ``True`` means torch's fused SGD kernel for
            the step on y.
        capturable: Safe to capture in a CUDA graph; lr must then be a tensor on the parameters' device if it
            is to change between replays.

    Raises:
        ValueError: If a value is out of its range or NaN, or settings contradict each other.
    """

    _MOMENTA = ("momentum_buffer",)
    _MOMENTS = ("momentum_buffer",)

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor,
        K: float = 9,
        M: float = 2,
        epsilon: float = 0.0,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        nesterov: bool = False,
        dampening: float = 0.0,
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
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "dampening": dampening,
            "maximize": maximize,
            "foreach": foreach,
            "fused": fused,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    @staticmethod
    def _check(group: Group) -> None:
        learning_rate(group)
        non_negative(group, "epsilon", "weight_decay")
        powers(group)
        below_one(group, "momentum", "dampening")
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError("nesterov = True needs momentum > 0 and dampening = 0.")
        if group["foreach"] and group["fused"]:
            raise ValueError("foreach and fused cannot both be True.")

    def _update(self, params: list[Tensor], latents: list[Tensor], grads: list[Tensor], group: Group) -> None:
        if group["capturable"] and isinstance(group["lr"], Tensor):
            self._update_on_device(params, latents, grads, group)
            return
        if group["nesterov"]:  # torch's multi-tensor kernel would add the momentum to the gradient itself
            grads = [g.clone() if g is p.grad else g for p, g in zip(params, grads, strict=True)]
        # the fused kernel takes momentum buffers for all or for none, and some may join later
        joined = [i for i, p in enumerate(params) if "momentum_buffer" in self.state[p]]
        new = [i for i in range(len(params)) if i not in set(joined)]
        for part in (joined, new):
            if part:
                self._sgd(
                    [params[i] for i in part], [latents[i] for i in part], [grads[i] for i in part], group
                )

    def _settings(
        self, params: list[Tensor], latents: list[Tensor], group: Group
    ) -> tuple[list[tuple[float, ...]], list[int]]:
        """Two rows: for parameters that have a momentum buffer, and for those whose first step this is."""
        row_of = []
        for p, latent in zip(params, latents, strict=True):
            buffer = self.state[p].get("momentum_buffer") if group["momentum"] != 0 else True
            row_of.append(int(buffer is None))
            if buffer is None:
                self.state[p]["momentum_buffer"] = torch.zeros_like(latent, requires_grad=False)
        names = ("momentum", "dampening", "nesterov", "maximize", "K", "M", "epsilon", "weight_decay")
        shared = {name: group[name] for name in names}
        rows = [settings_row(REWA, group["lr"], **shared, first=first) for first in (False, True)]
        return rows, row_of

    def _sgd(self, params: list[Tensor], latents: list[Tensor], grads: list[Tensor], group: Group) -> None:
        """Let torch's SGD step the latents, and keep its momentum buffers."""
        buffers = [self.state[p].get("momentum_buffer") for p in params]
        sgd(
            latents,
            grads,
            buffers,
            foreach=group["foreach"],
            fused=group["fused"],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            lr=group["lr"],
            dampening=group["dampening"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
        )
        if group["momentum"] != 0:
            for p, buffer in zip(params, buffers, strict=True):
                self.state[p]["momentum_buffer"] = buffer

    def _update_on_device(
        self, params: list[Tensor], latents: list[Tensor], grads: list[Tensor], group: Group
    ) -> None:
        """The same step without reading lr on the host, which torch's SGD does: for graph capture."""
        momentum, decay = group["momentum"], group["weight_decay"]
        for p, y, grad in zip(params, latents, grads, strict=True):
            bracket = -grad if group["maximize"] else grad
            if decay != 0:
                bracket = torch.add(bracket, y, alpha=decay)
            if momentum != 0:
                state = self.state[p]
                if "momentum_buffer" in state:
                    state["momentum_buffer"].mul_(momentum).add_(bracket, alpha=1 - group["dampening"])
                else:
                    state["momentum_buffer"] = bracket.clone()
                buffer = state["momentum_buffer"]
                bracket = torch.add(bracket, buffer, alpha=momentum) if group["nesterov"] else buffer
            y.sub_(bracket * group["lr"].reshape(()))
