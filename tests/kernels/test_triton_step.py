"""The Triton kernel, in Triton's interpreter, against the CPU's."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

COMPARE = """
import sys
sys.path.insert(0, {here!r})
import copy, torch
from steps import SETTINGS, record, row
from rewa.kernels import ArrayStep, UpdatePlan, new_table
from rewa.kernels.device_plan import DevicePlan

generator = torch.Generator().manual_seed(0)
names = list(SETTINGS) * 2
like = [torch.empty(3, 5 + i) for i in range(len(SETTINGS))] + [torch.empty(1100)] * len(SETTINGS)
like[3] = torch.empty(0)
ours = [record(i, name, t, generator) for i, (name, t) in enumerate(zip(names, like))]
theirs = copy.deepcopy(ours)
plans = [UpdatePlan(ours), DevicePlan(theirs, interpreted=True)]
for count in (1, 2, 3):
    grads = [torch.empty_like(t).normal_(generator=generator) for t in like]
    for plan in plans:
        plan.set_grads(grads)
        plan.run(new_table([row(name, 0.02, count) for name in names]))
for name, a, b in zip(names, ours, theirs):
    for part in ("latent", "weight", "momentum", "second_latent", "second_momentum"):
        one, other = getattr(a, part), getattr(b, part)
        if one is not None:
            torch.testing.assert_close(
                other, one, rtol=5e-4, atol=1e-6, equal_nan=True, msg=lambda m: f"{{name}}, {{part}}: {{m}}"
            )
print("compared", len(names))
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed here")
def test_the_kernel_is_the_cpus() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPARE.format(here=str(Path(__file__).parent))],
        capture_output=True,
        text=True,
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[0] == "compared"
