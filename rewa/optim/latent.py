"""Optimizers whose state holds a latent y while the model holds x = sign(y)|y|^K."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT
from torch.utils.weak import WeakTensorKeyDictionary

from rewa.optim.adaptive import scale_gradients
from rewa.optim.checks import Group
from rewa.optim.one_pass import GroupPlan, aligned, takes_one_pass
from rewa.optim.power import latent_to_parameter, signed_root

POWER_ROUNDING = 2.0**-19
"""Relative difference between two ways to compute x = y^K in float32 that is no change."""


class LatentOptimizer(Optimizer):
    """Keeps the latents: creates them, lets them follow outside changes, and writes x back.

    The latent is in ``state[p]["latent"]``, float32 (float64 for float64 parameters), and is the master copy.
    When somebody else writes to a parameter in place (``load_state_dict``, a mask, weight averaging) the next
    step notices and y follows, only where the two disagree; writes through ``p.data`` hide from autograd's
    version counter, so call :meth:`sync_latents` after those. Parameters with K = 1 need no latent unless
    their precision is lower.

    Subclasses check a group's settings and take the base optimizer's step on the latents.
    """

    _MOMENTA: tuple[str, ...] = ()
    """State that would carry a coordinate away from a zero that somebody else wrote."""

    _MOMENTS: tuple[str, ...] = ()
    """State that the one-pass kernel steps beside the latent: at most two, in the kernel's order."""

    def __init__(self, params: ParamsT, defaults: Group) -> None:
        self._written = WeakTensorKeyDictionary()
        self._plans: dict[int, GroupPlan] = {}
        super().__init__(params, defaults)

    @staticmethod
    @abstractmethod
    def _check(group: Group) -> None:
        """Raise ValueError if a setting of a complete group is out of range."""

    @abstractmethod
    def _update(self, params: list[Tensor], latents: list[Tensor], grads: list[Tensor], group: Group) -> None:
        """Take the base optimizer's step on the latents, in place, with already scaled gradients."""

    @abstractmethod
    def _settings(
        self, params: list[Tensor], latents: list[Tensor], group: Group
    ) -> tuple[list[tuple[float, ...]], list[int]]:
        """Make the state of one step by :mod:`rewa.kernels`; return the settings, and which each p takes."""

    def add_param_group(self, param_group: Group) -> None:
        """Add a group; its missing settings take the defaults, and all are checked."""
        self._check({**self.defaults, **param_group})
        super().add_param_group(param_group)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore from a pickle; settings that an older version lacked take their defaults."""
        super().__setstate__(state)
        self._written, self._plans = WeakTensorKeyDictionary(), {}
        for group in self.param_groups:
            for name, value in self.defaults.items():
                if name != "differentiable":  # torch's own addition, which no group has
                    group.setdefault(name, value)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state; latents and moments keep the precision they were saved in.

        (torch casts state to the parameter's dtype, which would round a float32 latent under bf16.)

        Raises:
            ValueError: If a loaded setting is out of range.
        """
        for group in state_dict["param_groups"]:
            self._check({**self.defaults, **group})
        super().load_state_dict(state_dict)
        self._written, self._plans = WeakTensorKeyDictionary(), {}
        params = [p for group in self.param_groups for p in group["params"]]
        indices = [i for group in state_dict["param_groups"] for i in group["params"]]
        for p, index in zip(params, indices, strict=True):
            for name, value in state_dict["state"].get(index, {}).items():
                if isinstance(value, Tensor) and name != "step":
                    self.state[p][name] = value.detach().clone().to(p.device)

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
        for number, group in enumerate(self.param_groups):
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for p in params:
                self._refuse_unsupported(p)
            latents = [self._latent(p, group["K"]) for p in params]
            if self._one_pass(params, group):
                self._step_at_once(number, params, latents, group)
                continue
            grads = [p.grad.to(y.dtype) for p, y in zip(params, latents, strict=True)]
            foreach = group["foreach"]
            scaled = scale_gradients(
                grads,
                latents,
                group["K"],
                group["M"],
                group["epsilon"],
                foreach=all(p.is_cuda for p in params) if foreach is None else foreach,
            )
            self._update(params, latents, scaled, group)
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
        elif not self._is_ours(p, K):
            self._resync(p, K)
        latent: Tensor = state["latent"]
        return latent

    def _is_ours(self, p: Tensor, K: float) -> bool:
        """Return whether ``p`` is as the last step left it, by autograd's version counter."""
        if p not in self._written:
            return False
        _, mark = self._written[p]
        return bool(mark == _mark(p, K))

    def _resync(self, p: Tensor, K: float) -> None:
        """Recompute the latent where ``p`` no longer is what the latent stands for, and only there."""
        state = self.state[p]
        latent = state["latent"]
        changed = _differs(p, latent_to_parameter(latent, K).to(p.dtype))
        if p in self._written:  # a zero that somebody else wrote is a zero, also where x was one already
            changed |= (p == 0) & (latent != 0)
        latent.copy_(torch.where(changed, signed_root(p.detach().to(latent.dtype), K), latent))
        for name in self._MOMENTA:
            if state.get(name) is not None:
                state[name].masked_fill_(changed & (p == 0), 0.0)

    def _one_pass(self, params: list[Tensor], group: Group) -> bool:
        """Return whether the one-pass kernel is to step these parameters."""
        return takes_one_pass(params, group)

    def _step_at_once(self, number: int, params: list[Tensor], latents: list[Tensor], group: Group) -> None:
        """Let the one-pass kernel step a group and write x."""
        rows, row_of = self._settings(params, latents, group)
        for i, p in enumerate(params):
            for name in ("latent", *self._MOMENTS):
                if isinstance(value := self.state[p].get(name), Tensor):
                    self.state[p][name] = aligned(value, p)
            latents[i] = self.state[p].get("latent", p)
        moments = [[self.state[p].get(name) for p in params] for name in self._MOMENTS]
        moments += [[None] * len(params)] * (2 - len(moments))
        plan = self._plans.get(number)
        if plan is None or not plan.fits(params, latents, *moments):
            plan = self._plans[number] = GroupPlan(params, latents, *moments)
        plan.step(rows, row_of)
        self._remember(params, latents, group["K"])

    def _write(self, params: list[Tensor], latents: list[Tensor], K: float) -> None:
        """Write x = y^K into the parameters and remember that it was us."""
        for p, y in zip(params, latents, strict=True):
            if p is not y:
                p.copy_(latent_to_parameter(y, K))
        self._remember(params, latents, K)

    def _remember(self, params: list[Tensor], latents: list[Tensor], K: float) -> None:
        """Remember that x is as we wrote it; holding the storage keeps its address from being another's."""
        for p, y in zip(params, latents, strict=True):
            if p is not y:
                self._written[p] = (p.untyped_storage(), _mark(p, K))

    def _refuse_unsupported(self, p: Tensor) -> None:
        """Raise RuntimeError for a sparse or complex gradient."""
        name = type(self).__name__
        assert p.grad is not None
        if p.grad.is_sparse:
            raise RuntimeError(f"{name} does not support sparse gradients; use a dense one (sparse=False).")
        if p.grad.is_complex():
            raise RuntimeError(f"{name} does not support complex parameters; view them as real tensors.")


def _differs(p: Tensor, expected: Tensor) -> Tensor:
    """Return where a parameter is not what we wrote.

    Float32 weights may have been written by the one-pass kernel, whose real powers differ from torch's in the
    last bits.
    """
    changed = p != expected
    if p.dtype == torch.float32:
        changed &= ~((p - expected).abs() <= POWER_ROUNDING * expected.abs())
    return changed


def _mark(p: Tensor, K: float) -> tuple[object, ...]:
    """Return what changes when somebody else writes to a parameter or gives it other memory."""
    return p._version, p.data_ptr(), p.stride(), K
