"""``python -m rewa.packs``: compile the kernels now, so that the first training need not."""

from __future__ import annotations

import sys
import time

import torch

from rewa.kernels import REWA, ArrayStep, UpdatePlan, new_table, settings_row
from rewa.packed import PackedTrial, train_packed


def main() -> None:
    """Run every compiled entry point once on a toy; the machine code is kept."""
    started = time.perf_counter()
    latent = torch.full((8,), 0.5)
    plan = UpdatePlan([ArrayStep(0, latent, grad=latent.clone(), weight=latent.clone())])
    plan.run(new_table([settings_row(REWA, 0.1, K=9, M=2)]))
    data = torch.eye(5).numpy()
    zeros = torch.zeros(5).numpy()
    recipe = {"init_weights": zeros, "init_bias": 0.0, "epochs": 1, "batch_size": 5, "seed": 0}
    train_packed(data, data[0], [PackedTrial("rewa", 0.1)], **recipe)  # type: ignore[arg-type]
    print(f"the kernels are compiled ({time.perf_counter() - started:.0f} s)", file=sys.stderr)


if __name__ == "__main__":
    main()
