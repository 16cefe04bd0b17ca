"""The plan of :mod:`rewa.kernels.plan` on a CUDA device, by Triton. It has not been run on a GPU yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rewa.kernels.plan import ArrayStep, check_arrays, like
from rewa.kernels.settings import COLUMNS, EPSILON, MODE, MOMENTUM, K, M

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 1024
"""Elements per program."""


class DevicePlan:
    """As :class:`rewa.kernels.UpdatePlan`, for tensors on one CUDA device; needs triton (imported here).

    Addresses and settings are uploaded when they change only. Arrays whose settings are of one kind (mode,
    whole or real powers, epsilon, which tensors there are) are stepped by one launch.

    Args:
        arrays: What to step; all on one device.
        interpreted: Tensors are on the CPU, for Triton's interpreter.
    """

    rows: NDArray[np.int64]

    def __init__(self, arrays: Sequence[ArrayStep], *, interpreted: bool = False) -> None:
        import numpy as np

        from rewa.kernels.triton_step import step_chunks

        self._step_chunks = step_chunks
        self._arrays = list(arrays)
        self._device = arrays[0].latent.device if arrays else torch.device("cpu")
        check_arrays(self._arrays, self._device)
        if self._device.type != "cuda" and not interpreted:
            raise ValueError(f"a device plan needs tensors on a CUDA device, not on {self._device}.")
        self.rows = np.array([one.row for one in self._arrays], np.int64)
        held = [(a.weight, a.latent, a.momentum, None, a.second_latent, a.second_momentum) for a in arrays]
        self._addresses = torch.tensor(
            [[0 if t is None else t.data_ptr() for t in tensors] for tensors in held], dtype=torch.int64
        )
        self._on_device: dict[str, tuple[Tensor, Tensor]] = {}
        self._chunks: dict[tuple[int, ...], Tensor] = {}
        self._grads: list[Tensor] | None = None
        if all(one.grad is not None for one in arrays):
            self.set_grads([one.grad for one in arrays if one.grad is not None])

    def set_grads(self, grads: Sequence[Tensor]) -> None:
        """Say where the gradients are; see :meth:`rewa.kernels.UpdatePlan.set_grads`."""
        if len(grads) != len(self._arrays):
            raise ValueError(f"the plan steps {len(self._arrays)} arrays, but {len(grads)} gradients came.")
        self._grads = [like(grad, one.latent) for grad, one in zip(grads, self._arrays, strict=True)]
        if self._grads:
            self._addresses[:, 3] = torch.tensor([grad.data_ptr() for grad in self._grads])

    def drop_grads(self) -> None:
        """Let go of the gradients; the device may still read them, which the caching allocator allows for."""
        self._grads = None

    def run(self, table: NDArray[np.float64]) -> None:
        """Step all arrays, asynchronously; see :meth:`rewa.kernels.UpdatePlan.run`."""
        if self._grads is None:
            raise RuntimeError("the plan has no gradients: call set_grads before run.")
        if table.ndim != 2 or table.shape[1] != COLUMNS:
            raise ValueError(f"the settings table must be float64 with {COLUMNS} columns.")
        kinds: dict[tuple[bool | int, ...], list[int]] = {}
        for i, one in enumerate(self._arrays):
            if one.latent.numel():
                kinds.setdefault(_kind(one, table[self.rows[i]]), []).append(i)
        addresses = self._upload("addresses", self._addresses)
        rows = self._upload("rows", torch.from_numpy(self.rows))
        settings = self._upload("settings", torch.from_numpy(table).float())
        for kind, members in kinds.items():
            chunks = self._chunks_of(tuple(members))
            self._step_chunks[(len(chunks),)](addresses, rows, chunks, settings, *kind, BLOCK=BLOCK)

    def _upload(self, name: str, host: Tensor) -> Tensor:
        """Return a tensor on the device, sent there only if it differs from what is there."""
        kept = self._on_device.get(name)
        if kept is None or not torch.equal(kept[0], host):
            kept = self._on_device[name] = (host.clone(), host.to(self._device, copy=True))
        return kept[1]

    def _chunks_of(self, members: tuple[int, ...]) -> Tensor:
        """Return the chunks of some arrays, on the device."""
        if members not in self._chunks:
            sizes = [(i, self._arrays[i].latent.numel()) for i in members]
            chunks = [(i, start, n) for i, n in sizes for start in range(0, n, BLOCK)]
            self._chunks[members] = torch.tensor(chunks, dtype=torch.int64).to(self._device)
        return self._chunks[members]


def _kind(one: ArrayStep, h: NDArray[np.float64]) -> tuple[bool | int, ...]:
    """Return what the kernel is compiled for: the arguments from ``MODE`` to ``RATIO``."""
    from rewa.kernels.settings import ADAMW

    moment = one.momentum is not None and (h[MODE] == ADAMW or h[MOMENTUM] != 0)
    real_m, real_k = not float(h[M]).is_integer() or h[M] > 63, not float(h[K]).is_integer() or h[K] > 64
    # fmt: off
    return (int(h[MODE]), one.weight is not None, bool(moment), bool(real_m), bool(real_k),
            bool(h[EPSILON] > 0))
    # fmt: on
