"""The one-pass CPU step against Eq. 3 in float64, and that nobody notices which path took a step."""

from __future__ import annotations

import copy
import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
import torch
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from test_manners_sgd_flags import Setting, any_setting, eq3_with_flags
from torch import Tensor, nn

from rewa import ReWA, ReWAAdamW
from rewa.kernels import UpdatePlan
from rewa.optim import one_pass, param_groups
from rewa.sparsity.masks import hold_masks

Maker = Callable[..., Any]
COMMON: dict[str, Any] = {"lr": 0.05, "K": 3, "M": 1, "weight_decay": 0.01}
SETTINGS: dict[Maker, dict[str, Any]] = {ReWA: {**COMMON, "momentum": 0.9}, ReWAAdamW: COMMON}
both = pytest.mark.parametrize("optimizer_class", list(SETTINGS))
REAL_POWERS = {"K": 2.25, "M": 1.25}
SHAPES = {
    "matrix": torch.empty(6, 5),
    "transposed": torch.empty(5, 6).t(),
    "channels last": torch.empty(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "scalar": torch.empty(()),
    "empty": torch.empty(0, 3),
    "pointwise, channels last": torch.empty(4, 3, 1, 1).to(memory_format=torch.channels_last),
}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the runs of plans: how often the one-pass step was taken."""
    counted: list[int] = []
    original = UpdatePlan.run

    def run(self: UpdatePlan, table: Any) -> None:
        counted.append(self.elements)
        original(self, table)

    monkeypatch.setattr(UpdatePlan, "run", run)
    return counted


def train(params: list[nn.Parameter], optimizer: Any, count: int, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        for p in params:
            p.grad = torch.empty_like(p).normal_(generator=generator)
        optimizer.step()


def weights(like: list[Tensor], seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.empty_like(t).normal_(generator=generator)) for t in like]


starts = st.lists(st.floats(1e-3, 2) | st.floats(-2, -1e-3) | st.just(0.0), min_size=3, max_size=3)
sequences = st.lists(st.lists(st.floats(-2, 2), min_size=3, max_size=3), min_size=1, max_size=5)


@settings(max_examples=150, deadline=None)
@given(start=starts, rows=sequences, setting=any_setting())
def test_steps_are_eq3(start: list[float], rows: list[list[float]], setting: Setting) -> None:
    p = nn.Parameter(torch.tensor(start))
    optimizer = ReWA([p], **asdict(setting))
    for row in rows:
        p.grad = torch.tensor(row)
        optimizer.step()
    try:
        expected = [eq3_with_flags(x, [row[i] for row in rows], setting) for i, x in enumerate(start)]
    except OverflowError:
        reject()
    assume(all(abs(x) < 1e30 for x in expected))
    assert p.tolist() == pytest.approx(expected, rel=2e-3, abs=2e-4)


@both
@pytest.mark.parametrize("layout", SHAPES)
@pytest.mark.parametrize("changes", [{}, REAL_POWERS, {"epsilon": 0.1}, {"K": 9, "M": 1.74}])
def test_both_paths_agree_for_every_layout(
    optimizer_class: Maker, layout: str, changes: dict[str, Any], runs: list[int]
) -> None:
    results = []
    for fused in (None, False):
        params = weights([SHAPES[layout]] * 2)
        optimizer = optimizer_class(params, **{**SETTINGS[optimizer_class], **changes}, fused=fused)
        train(params, optimizer, 5)
        assert params[0].stride() == SHAPES[layout].stride()
        results.append([p.detach() for p in params] + [optimizer.state[p]["latent"] for p in params])
    assert len(runs) == 5
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=3e-5, atol=3e-6)


@both
@pytest.mark.parametrize(
    ("options", "dtype", "taken"),
    [
        ({}, torch.float32, True),
        ({"fused": True}, torch.float32, True),
        ({"foreach": False}, torch.float32, True),
        ({"fused": False}, torch.float32, False),
        ({"foreach": True}, torch.float32, False),
        ({"capturable": True}, torch.float32, False),
        ({"lr": torch.tensor(0.1)}, torch.float32, False),
        ({"K": 1, "M": 0}, torch.float32, False),
        ({"K": 1, "M": 0, "epsilon": 0.1}, torch.float32, True),
        ({}, torch.float64, False),
        ({}, torch.bfloat16, False),
    ],
)
def test_which_steps_are_taken_at_once(
    optimizer_class: Maker, options: dict[str, Any], dtype: torch.dtype, taken: bool, runs: list[int]
) -> None:
    p = nn.Parameter(torch.ones(3, dtype=dtype))
    optimizer = optimizer_class([p], **{**SETTINGS[optimizer_class], **options})
    if not (options.get("capturable") and optimizer_class is ReWAAdamW):  # which torch refuses on a CPU
        train([p], optimizer, 2)
    assert len(runs) == 2 * taken


def test_amsgrad_is_left_to_torch(runs: list[int]) -> None:
    params = weights([SHAPES["matrix"]])
    train(params, ReWAAdamW(params, **COMMON, amsgrad=True), 2)
    assert not runs


@both
def test_without_numba_the_step_is_torchs(
    optimizer_class: Maker, monkeypatch: pytest.MonkeyPatch, runs: list[int]
) -> None:
    expected, params = weights([SHAPES["matrix"]]), weights([SHAPES["matrix"]])
    train(expected, optimizer_class(expected, **SETTINGS[optimizer_class], fused=False), 3)
    one_pass.numba_is_here.cache_clear()
    monkeypatch.setattr(one_pass, "find_spec", lambda name: None)
    try:
        train(params, optimizer_class(params, **SETTINGS[optimizer_class]), 3)
    finally:
        one_pass.numba_is_here.cache_clear()
    assert not runs
    assert torch.equal(params[0], expected[0])


@pytest.mark.slow
def test_numba_is_imported_by_the_first_step_only() -> None:
    code = """
import sys, torch, rewa
p = torch.nn.Parameter(torch.ones(3)); p.grad = torch.ones(3)
optimizer = rewa.ReWA([p], lr=0.1)
assert "numba" not in sys.modules
optimizer.step()
assert "numba" in sys.modules and p[0] < 1
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@both
@pytest.mark.parametrize("changes", [{}, REAL_POWERS, {"K": 9, "M": 2}, {"K": 33, "M": 0}])
@pytest.mark.parametrize("fused", [None, False])
def test_what_one_path_wrote_the_other_takes_as_its_own(
    optimizer_class: Maker, changes: dict[str, Any], fused: bool | None
) -> None:
    """A checkpoint, loaded by the other path, leaves every latent as it was saved, over all sizes of x."""
    sizes = torch.logspace(-38, 2, 2000)
    params = [nn.Parameter(torch.cat([sizes, -sizes]))]
    options = {**SETTINGS[optimizer_class], **changes}
    optimizer = optimizer_class(params, **options, fused=fused)
    params[0].grad = 1e-3 * torch.ones_like(params[0])
    optimizer.step()
    file = io.BytesIO()
    torch.save({"x": params[0].detach(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    loaded["optimizer"]["param_groups"][0]["fused"] = False if fused is None else None
    twins = [nn.Parameter(loaded["x"])]
    twin = optimizer_class(twins, **options)
    twin.load_state_dict(loaded["optimizer"])
    twin.sync_latents()
    assert torch.equal(twin.state[twins[0]]["latent"], optimizer.state[params[0]]["latent"])
    train(twins, twin, 1)
    train(params, optimizer, 1)
    torch.testing.assert_close(twins[0].detach(), params[0].detach(), rtol=1e-4, atol=1e-6)


@both
def test_a_state_saved_in_another_layout_is_taken(optimizer_class: Maker, runs: list[int]) -> None:
    like = SHAPES["channels last"]
    params, twins = weights([like]), weights([like])
    optimizer, twin = (optimizer_class(ps, **SETTINGS[optimizer_class]) for ps in (params, twins))
    train(params, optimizer, 2)
    saved = optimizer.state_dict()
    saved["state"] = {0: {k: v.contiguous() if v.ndim else v.clone() for k, v in saved["state"][0].items()}}
    with torch.no_grad():
        twins[0].copy_(params[0])
    twin.load_state_dict(saved)
    for ps, o in ((params, optimizer), (twins, twin)):
        train(ps, o, 2, seed=1)
    assert torch.equal(params[0], twins[0])
    assert len(runs) == 6


@both
def test_threads_change_no_bit(optimizer_class: Maker) -> None:
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(1)  # torch's power, which the first latents are, depends on it
            params = weights([torch.empty(100_003), torch.empty(7, 5)])
            optimizer = optimizer_class(params, **SETTINGS[optimizer_class])
            train(params, optimizer, 1)
            torch.set_num_threads(threads)
            train(params, optimizer, 3, seed=1)
            results.append(params)
    finally:
        torch.set_num_threads(before)
    for params in results[1:]:
        assert all(torch.equal(p, q) for p, q in zip(params, results[0], strict=True))


@both
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_gradients_that_are_not_finite_do_what_they_do_in_torch(optimizer_class: Maker, bad: float) -> None:
    results = []
    for fused in (None, False):
        p = nn.Parameter(torch.linspace(-1, 1, 21))
        optimizer = optimizer_class([p], **SETTINGS[optimizer_class], fused=fused)
        for value in (1.0, bad, 1.0):
            p.grad = torch.ones(21)
            p.grad[::4] = value
            optimizer.step()
        results.append(p.detach())
    torch.testing.assert_close(*results, equal_nan=True, rtol=1e-5, atol=1e-6)
    assert not results[0].isfinite().all()


@both
def test_a_parameter_that_joins_later_starts_its_own_count(optimizer_class: Maker) -> None:
    """As if it were alone; the other does not notice, and neither do gradients that come and go."""
    together, alone = weights([torch.empty(4), torch.empty(5)]), weights([torch.empty(4), torch.empty(5)])
    optimizer = optimizer_class(together, **SETTINGS[optimizer_class])
    single = [optimizer_class([p], **SETTINGS[optimizer_class]) for p in alone]
    for step, present in enumerate([(0,), (0,), (0, 1), (1,), (0, 1)]):
        for ps in (together, alone):
            for i, p in enumerate(ps):
                p.grad = torch.full_like(p, 0.1 + step - i) if i in present else None
        optimizer.step()
        for o in single:
            o.step()
    assert all(torch.equal(p, q) for p, q in zip(together, alone, strict=True))


@both
def test_autograd_notices_the_step(optimizer_class: Maker) -> None:
    """A backward pass through weights that a step has overwritten is an error, as with torch's optimizers."""
    p = nn.Parameter(torch.ones(3))
    optimizer = optimizer_class([p], **SETTINGS[optimizer_class])
    loss = (p**2).sum()
    p.grad = torch.ones(3)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@both
def test_gradients_are_freed_by_zero_grad(optimizer_class: Maker) -> None:
    p = nn.Parameter(torch.ones(3))
    optimizer = optimizer_class([p], **SETTINGS[optimizer_class])
    grad = torch.ones(3)
    p.grad = grad
    held = sys.getrefcount(grad)
    optimizer.step()
    assert sys.getrefcount(grad) == held


@both
def test_new_memory_of_weights_and_state_is_noticed(optimizer_class: Maker) -> None:
    """p.data = ..., a replaced state tensor and a copied optimizer must not be stepped at old addresses."""
    moved, still = weights([SHAPES["matrix"]]), weights([SHAPES["matrix"]])
    optimizer, plain = (optimizer_class(ps, **SETTINGS[optimizer_class]) for ps in (moved, still))
    for seed in range(4):
        for ps, o in ((moved, optimizer), (still, plain)):
            train(ps, o, 1, seed)
        old = moved[0].data
        moved[0].data = old.clone()
        for name, value in list(optimizer.state[moved[0]].items()):
            optimizer.state[moved[0]][name] = value.clone()
        if seed == 2:
            moved, optimizer = copy.deepcopy((moved, optimizer))
        old.fill_(torch.nan)
    assert torch.equal(moved[0], still[0])


@both
def test_masks_hold(optimizer_class: Maker, runs: list[int]) -> None:
    torch.manual_seed(0)
    model = nn.Linear(6, 5)
    optimizer = optimizer_class(param_groups(model), **SETTINGS[optimizer_class])
    mask = torch.rand(5, 6) > 0.5
    hold_masks(optimizer, model, {"weight": mask})
    before = model.weight.detach().clone()
    train([model.weight, model.bias], optimizer, 5)
    assert (model.weight[~mask] == 0).all()
    assert (model.weight[mask] != before[mask]).all()
    assert len(runs) == 5
