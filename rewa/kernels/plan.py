"""Many arrays stepped in one call, each with its own settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rewa.kernels.settings import CHUNK, COLUMNS
from rewa.kernels.threads import run_together

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INLINE = 65536
"""Plans of fewer elements run in the caller's thread alone."""


@dataclass(frozen=True)
class ArrayStep:
    """One array to be stepped: the tensors that belong together, and its settings.

    All tensors are float32 on the CPU, of one shape, dense in memory (no gaps, no overlap) and with the same
    strides; views into larger tensors are fine. No two of a plan may overlap.

    Attributes:
        row: Row of the settings table.
        latent: What is stepped: y, or x itself where ``weight`` is ``None``.
        grad: Gradient with respect to x; not changed.
        weight: x, to be written from y; ``None`` where x is y.
        momentum: Momentum, or Adam's first moment; ``None`` without. Not touched by settings without.
        second_latent: The other factor, which ``SPRED`` needs.
        second_momentum: Its momentum; for ``ADAMW``, which needs both moments, the second.
    """

    row: int
    latent: Tensor
    grad: Tensor | None = None
    weight: Tensor | None = None
    momentum: Tensor | None = None
    second_latent: Tensor | None = None
    second_momentum: Tensor | None = None


class UpdatePlan:
    """Steps many arrays at once; built once, run often. Needs numba (imported here).

    The plan holds the tensors and their addresses: build a new one when a tensor other than a gradient is
    given other memory. One plan must not be run by two threads at once. Writes go past autograd's version
    counters.

    Args:
        arrays: What to step; ``grad`` may be ``None`` in all of them, to be set by :meth:`set_grads`.
        threads: Threads to use; ``None`` asks ``torch.get_num_threads()`` at every run. The result does not
            depend on it, to the bit.

    Attributes:
        rows: Shape (arrays,), int64: each array's row of the table; may be written to between runs.

    Raises:
        ValueError: If tensors of a record do not fit together.

    Example:
        >>> table = new_table([settings_row(REWA, 0.1, K=9, M=2, momentum=0.9)])
        >>> plan = UpdatePlan([ArrayStep(0, latent, weight=x, momentum=b)])
        >>> plan.set_grads([x.grad])
        >>> table[:, LR] = 0.05
        >>> plan.run(table)
    """

    rows: NDArray[np.int64]

    def __init__(self, arrays: Sequence[ArrayStep], *, threads: int | None = None) -> None:
        import numpy as np

        from rewa.kernels.chunks import step_chunks

        self._step_chunks = step_chunks
        self._threads = threads
        self._arrays = list(arrays)
        check_arrays(self._arrays, torch.device("cpu"))
        self.rows = np.array([one.row for one in self._arrays], np.int64).reshape(-1)
        held = [(a.weight, a.latent, a.momentum, None, a.second_latent, a.second_momentum) for a in arrays]
        self._addresses = np.array(
            [[0 if t is None else t.data_ptr() for t in tensors] for tensors in held], np.int64
        ).reshape(-1, 6)
        self._shapes = [one.latent.shape for one in self._arrays]
        self._strides = [one.latent.stride() for one in self._arrays]
        sizes = [one.latent.numel() for one in self._arrays]
        self.elements = sum(sizes)
        chunks = [
            (i, start, min(start + CHUNK, size))
            for i, size in enumerate(sizes)
            for start in range(0, size, CHUNK)
        ]
        self._chunks = np.array(chunks, np.int64).reshape(-1, 3)
        self._counter = np.zeros(1, np.int64)
        self._counter_address = self._counter.ctypes.data
        self._grads: list[Tensor] | None = None
        if all(one.grad is not None for one in arrays):
            self.set_grads([one.grad for one in arrays if one.grad is not None])

    def set_grads(self, grads: Sequence[Tensor]) -> None:
        """Say where the gradients are; they are held until the next call or :meth:`drop_grads`.

        Args:
            grads: One per array, of its shape. One of another layout or precision is copied now, so it must
                be set again before every run.

        Raises:
            ValueError: If their number or a shape is wrong.
        """
        if len(grads) != len(self._arrays):
            raise ValueError(f"the plan steps {len(self._arrays)} arrays, but {len(grads)} gradients came.")
        held = []
        for i, grad in enumerate(grads):
            same = grad.dtype is torch.float32 and grad.shape == self._shapes[i]
            if not (same and grad.is_cpu and grad.stride() == self._strides[i]):
                grad = like(grad, self._arrays[i].latent)
            held.append(grad)
        if held:
            self._addresses[:, 3] = [grad.data_ptr() for grad in held]
        self._grads = held

    def drop_grads(self) -> None:
        """Let go of the gradients, so that their memory can be freed before the next backward pass."""
        self._grads = None

    def run(self, table: NDArray[np.float64]) -> None:
        """Step all arrays.

        Args:
            table: Settings, shape (rows, ``COLUMNS``), float64, C order (:func:`new_table`).

        Raises:
            ValueError: If the table does not fit.
            RuntimeError: If no gradients are set.
        """
        if self._grads is None:
            raise RuntimeError("the plan has no gradients: call set_grads before run.")
        if table.ndim != 2 or table.shape[1] != COLUMNS or not table.flags.c_contiguous:
            raise ValueError(f"the settings table must be C-contiguous float64 with {COLUMNS} columns.")
        if not len(self._chunks):
            return
        if self.rows.max() >= len(table) or self.rows.min() < 0:
            raise ValueError(f"an array's row is beyond the {len(table)} rows of the settings table.")
        self._counter[0] = 0
        if self.elements < INLINE:
            self._work(table, len(self._chunks))
            return
        threads = min(self._threads or torch.get_num_threads(), len(self._chunks))
        run_together(partial(self._work, table, 1), threads)

    def _work(self, table: NDArray[np.float64], grain: int) -> None:
        """Take a share of the chunks."""
        self._step_chunks(self._addresses, self.rows, self._chunks, table, self._counter_address, grain)


def new_table(rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return the table of some :func:`rewa.kernels.settings_row`; its columns may be written in place."""
    import numpy as np

    return np.array(rows, np.float64).reshape(-1, COLUMNS)


def is_dense(tensor: Tensor) -> bool:
    """Return whether a tensor fills its memory without gaps or overlap, in whatever order of dimensions."""
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted((s, n) for s, n in zip(tensor.stride(), tensor.shape, strict=True) if n != 1):
        if size == 0:
            return True
        if stride != expected:
            return False
        expected *= size
    return True


def same_layout(one: Tensor, other: Tensor) -> bool:
    """Return whether equal positions in memory hold equal indices, given equal shapes."""
    if one.shape != other.shape:
        return False
    if one.stride() == other.stride():
        return True
    pairs = zip(one.stride(), other.stride(), one.shape, strict=True)
    return one.numel() == 0 or all(a == b for a, b, n in pairs if n != 1)


def like(grad: Tensor, latent: Tensor) -> Tensor:
    """Return a gradient in a latent's layout, precision and place: itself if it has them, else a copy.

    Raises:
        ValueError: If its shape differs.
    """
    if grad.shape != latent.shape:
        raise ValueError(f"a gradient has shape {tuple(grad.shape)}, its array {tuple(latent.shape)}.")
    if grad.dtype == latent.dtype and grad.device == latent.device and same_layout(grad, latent):
        return grad
    return torch.empty_like(latent, requires_grad=False).copy_(grad.detach())


def check_arrays(arrays: Sequence[ArrayStep], device: torch.device) -> None:
    """Raise ValueError unless the tensors of every record fit together and are on the device."""
    for number, one in enumerate(arrays):
        for name in ("latent", "weight", "momentum", "second_latent", "second_momentum"):
            tensor = getattr(one, name)
            if tensor is None:
                continue
            fits = tensor.dtype == torch.float32 and tensor.device == device and is_dense(tensor)
            if not fits or not same_layout(tensor, one.latent):
                raise ValueError(
                    f"{name} of array {number} must be dense float32 on {device}, laid out like its latent."
                )
