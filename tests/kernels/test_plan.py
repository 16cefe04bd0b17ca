"""Update plans against the equations in float64, whatever the layout and the number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from steps import SETTINGS, Reference, record, row
from torch import Tensor

from rewa.kernels import FIRST, LR, REWA, ArrayStep, UpdatePlan, new_table, settings_row

LIKE = [
    torch.empty(3, 5),
    torch.empty(()),
    torch.empty(0, 4),
    torch.empty(2, 3, 4, 5).to(memory_format=torch.channels_last),
    torch.empty(70, 31).t(),
    torch.empty(20_000),
    torch.empty(4, 1, 1, 7).permute(1, 3, 0, 2),
]


def step_all(names: list[str], like: list[Tensor], threads: int, steps: int = 4) -> list[ArrayStep]:
    """Step one array per name; compare with float64 after every step; return the arrays."""
    generator = torch.Generator().manual_seed(0)
    arrays = [record(i, name, t, generator) for i, (name, t) in enumerate(zip(names, like, strict=True))]
    zero = torch.zeros(0, dtype=torch.float64)
    rates = [0.02 + 0.001 * i for i in range(len(names))]
    references = [
        Reference(
            a.latent.double(),
            zero if a.second_latent is None else a.second_latent.double(),
            SETTINGS[name],
            lr,
        )
        for a, name, lr in zip(arrays, names, rates, strict=True)
    ]
    plan = UpdatePlan(arrays, threads=threads)
    for count in range(1, steps + 1):
        grads = [torch.empty_like(a.latent).normal_(generator=generator) for a in arrays]
        before = [grad.clone() for grad in grads]
        plan.set_grads(grads)
        plan.run(new_table([row(name, lr, count) for name, lr in zip(names, rates, strict=True)]))
        assert all(torch.equal(grad, b) for grad, b in zip(grads, before, strict=True))
        for a, reference, grad, name in zip(arrays, references, grads, names, strict=True):
            x = reference.step(grad)
            scale = 1 + reference.y.abs()
            assert ((a.latent - reference.y).abs() <= 1e-5 * scale).all(), name
            if a.weight is not None:  # an error in y enters x times its derivative
                K = SETTINGS[name].get("K", 2)
                allowed = 1e-5 * K * scale * reference.y.abs() ** (K - 1) + 1e-5 * x.abs() + 1e-6
                assert ((a.weight - x).abs() <= allowed).all(), name
    return arrays


@pytest.mark.parametrize("name", SETTINGS)
def test_steps_are_the_equations(name: str) -> None:
    step_all([name] * len(LIKE), LIKE, threads=1)


def test_arrays_of_a_plan_have_settings_of_their_own_and_threads_change_no_bit() -> None:
    names, sizes = list(SETTINGS), [torch.empty(5000 + 9001 * i) for i in range(len(SETTINGS))]
    one, two = (step_all(names, sizes, threads, steps=2) for threads in (1, 2))
    for a, b in zip(one, two, strict=True):
        for name in ("latent", "weight", "momentum", "second_latent", "second_momentum"):
            if (tensor := getattr(a, name)) is not None:
                assert torch.equal(tensor.view(torch.int32), getattr(b, name).view(torch.int32))


def test_views_into_stacks_leave_their_neighbours_alone() -> None:
    latents, grads, weights = torch.ones(3, 7), torch.ones(3, 7), torch.zeros(3, 7)
    table = new_table([settings_row(REWA, lr, K=3, M=0) for lr in (0.5, 0.25, 0.125)])
    plan = UpdatePlan([ArrayStep(t, latents[t], grads[t], weights[t]) for t in (0, 2)])
    plan.run(table)
    table[:, LR] = 0.5
    plan.rows[:] = 1
    plan.run(table)
    assert latents[:, 0].tolist() == [0.0, 1.0, 0.375]
    assert weights[:, 3].tolist() == [0.0, 0.0, 0.375**3]


def test_settings_without_momentum_leave_it_alone() -> None:
    momentum = torch.full((4,), 7.0)
    plan = UpdatePlan([ArrayStep(0, torch.ones(4), torch.ones(4), torch.ones(4), momentum)])
    plan.run(new_table([settings_row(REWA, 0.1, K=3, M=1)]))
    assert momentum.tolist() == [7] * 4


@pytest.mark.parametrize("grad", [torch.ones(6, 5).t(), torch.ones(5, 6).double(), torch.ones(5, 12)[:, ::2]])
def test_gradients_of_another_layout_or_precision_are_taken(grad: Tensor) -> None:
    latent, drawn = torch.ones(5, 6), torch.randn(5, 6)
    grad.copy_(drawn)
    plan = UpdatePlan([ArrayStep(0, latent, weight=torch.ones(5, 6))])
    plan.set_grads([grad])
    plan.run(new_table([settings_row(REWA, 0.5, K=3, M=0)]))
    torch.testing.assert_close(latent, 1 - 0.5 * drawn)


def test_gradients_are_not_kept_alive() -> None:
    plan = UpdatePlan([ArrayStep(0, torch.ones(3))])
    grad = torch.ones(3)
    plan.set_grads([grad])
    count = sys.getrefcount(grad)
    plan.drop_grads()
    assert sys.getrefcount(grad) == count - 1
    with pytest.raises(RuntimeError, match="set_grads"):
        plan.run(new_table([settings_row(REWA, 0.1)]))


WRONG = [
    torch.ones(4).double(),
    torch.ones(5),
    torch.ones(8)[::2],
    torch.ones(1).expand(4),
]


@pytest.mark.parametrize("weight", WRONG)
def test_tensors_that_do_not_fit_are_refused(weight: Tensor) -> None:
    with pytest.raises(ValueError, match="weight of array 0"):
        UpdatePlan([ArrayStep(0, torch.ones(4), torch.ones(4), weight)])


def test_wrong_gradients_and_tables_are_refused() -> None:
    plan = UpdatePlan([ArrayStep(1, torch.ones(4), torch.ones(4))])
    with pytest.raises(ValueError, match="2 gradients"):
        plan.set_grads([torch.ones(4)] * 2)
    with pytest.raises(ValueError, match="shape"):
        plan.set_grads([torch.ones(5)])
    with pytest.raises(ValueError, match="row"):
        plan.run(new_table([settings_row(REWA, 0.1)]))
    with pytest.raises(ValueError, match="columns"):
        plan.run(np.zeros((2, 3)))


def test_subnormal_numbers_cost_nothing_and_the_caller_keeps_them() -> None:
    """Latents that shrink through all subnormal numbers become zero at once."""
    latent = torch.full((100,), 1e-39)
    plan = UpdatePlan([ArrayStep(0, latent, torch.zeros(100), torch.ones(100))])
    plan.run(new_table([settings_row(REWA, 0.1, K=3, M=0, weight_decay=0.1)]))
    assert latent.tolist() == [0] * 100
    assert float(torch.tensor(1e-39) * 0.5) > 0


FORK = """
import os, torch
from rewa.kernels import *
torch.set_num_threads(2)
latent, table = torch.ones(200_000), new_table([settings_row(REWA, 0.5, K=3, M=0)])
plan = UpdatePlan([ArrayStep(0, latent, torch.ones(200_000), torch.ones(200_000))])
plan.run(table)
child = os.fork()
plan.run(table)
ok = latent[0] == 0 and latent[-1] == 0
if child == 0:
    os._exit(0 if ok else 3)
print(bool(ok), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_takes_steps() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["True", "0"]


def test_a_small_plan_runs_in_microseconds() -> None:
    """Thousands of steps of small networks go through here; ten times the target still passes."""
    plan = UpdatePlan([ArrayStep(0, torch.ones(10), torch.ones(10), torch.ones(10)) for _ in range(4)])
    table = new_table([settings_row(REWA, 0.0, K=3, M=1)])
    table[:, FIRST] = 0
    best = np.inf
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(50):
            plan.run(table)
        best = min(best, (time.perf_counter() - start) / 50)
    assert best < 100e-6


@pytest.mark.slow
def test_importing_needs_torch_only() -> None:
    code = "import sys, rewa, rewa.kernels; assert not {'numba', 'triton'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
