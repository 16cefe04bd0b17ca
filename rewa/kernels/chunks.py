"""Steps on memory given by addresses, chunk after chunk. Imports numba."""

from __future__ import annotations

import numpy as np
from numba import carray  # type: ignore[attr-defined]
from numpy.typing import NDArray

from rewa.kernels.blocks import block_size, step_block
from rewa.kernels.compiled import compiled
from rewa.kernels.scalars import add_shared, float_mode, pointer, set_float_mode
from rewa.kernels.settings import ADAMW, CHUNK, MODE, MOMENTUM

_FLUSH = 0x8040
"""Bits of the control word that treat subnormal numbers as zero, as operands and as results."""

I64 = NDArray[np.int64]


@compiled()
def step_chunks(
    addresses: I64, rows: I64, chunks: I64, table: NDArray[np.float64], counter: int, grain: int
) -> None:
    """Step chunks until none is left, ``grain`` of them at a time; several threads may call this at once.

    Subnormal numbers count as zero here; the caller's mode is restored.

    Args:
        addresses: Shape (arrays, 6): weight, latent, momentum, gradient, second latent, second momentum;
            0 where there is none. Momentum is not touched where the settings have none.
        rows: Shape (arrays,): each array's row of the table.
        chunks: Shape (chunks, 3): array, first element, end.
        table: The settings.
        counter: Address of an int64, the number of chunks taken so far.
        grain: Chunks taken at a time.
    """
    mode = float_mode()
    set_float_mode(np.uint32(mode | np.uint32(_FLUSH)))
    unused, unused2 = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)
    s, s2 = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)
    while True:
        taken = add_shared(counter, grain)
        if taken >= len(chunks):
            break
        for c in range(taken, min(taken + grain, len(chunks))):
            at, start, stop = addresses[chunks[c, 0]], chunks[c, 1], chunks[c, 2]
            h = table[rows[chunks[c, 0]]]
            size = block_size(h)
            kept = h[MOMENTUM] != 0 or h[MODE] == ADAMW
            for low in range(start, stop, size):
                n = min(size, stop - low)
                offset = 4 * low
                y, g = carray(pointer(at[1] + offset), n), carray(pointer(at[3] + offset), n)
                x = carray(pointer(at[0] + offset), n) if at[0] != 0 else unused[:n]
                m = carray(pointer(at[2] + offset), n) if at[2] != 0 and kept else unused2[:n]
                y2 = carray(pointer(at[4] + offset), n) if at[4] != 0 else y
                m2 = carray(pointer(at[5] + offset), n) if at[5] != 0 and kept else unused2[:n]
                step_block(x, y, m, g, y2, m2, s[:n], s2[:n], h)
    set_float_mode(mode)
