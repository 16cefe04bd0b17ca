"""What a pack gives is what ``fit`` gives, training by training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from exponents import exponents
from hypothesis import given, settings
from hypothesis import strategies as st
from outcomes import (
    SETTINGS,
    MeanOnly,
    assert_close,
    assert_same,
    blobs,
    digits,
    method,
    sparse,
    trainings,
    unpacked,
)

from rewa.finetuning import FineTuning
from rewa.methods import get_method
from rewa.outcome import TrainingResult, Watch
from rewa.packs import Training, can_pack, fit_one, fit_together, together
from rewa.training import fit
from rewa.workloads.base import Workload


def slower(values: dict[str, Any], factor: float) -> dict[str, Any]:
    return {**values, "lr": values["lr"] * factor}


LINEAR = [(name, slower(values, 0.02 if name != "rewa_adamw" else 1)) for name, values in SETTINGS]


@pytest.mark.parametrize(
    ("workload", "asked"),
    [
        (digits(2), trainings(SETTINGS, (0, 1))),
        (sparse(10), [*trainings(LINEAR, (0, 1)), Training(MeanOnly.from_values({}), 0)]),
        (
            sparse(loss="logistic", batch_size=30),
            trainings([(n, slower(v, 10)) for n, v in LINEAR[:8]], (5,)),
        ),
    ],
    ids=["digits", "sparse_recovery", "logistic"],
)
def test_every_method_in_one_pack(workload: Workload, asked: list[Training]) -> None:
    told: dict[int, TrainingResult] = {}
    results = fit_together(workload, asked, told.__setitem__)
    assert all(told[number] is result for number, result in enumerate(results))
    losses = []
    for training, ours in zip(asked, results, strict=True):
        assert ours.status == "completed"
        assert_close(ours, unpacked(workload, training), workload)
        losses += [(e.train_loss - ours.history[0].train_loss) for e in ours.history[-1:]]
    assert sum(change < -1e-3 for change in losses) >= len(losses) - 1  # there was something to compare


def test_which_methods_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that are stepped by a rule that packs know; AdamW and solvers are trained by ``fit``."""
    alone: list[str] = []
    monkeypatch.setattr(together, "fit", lambda w, m, seed, **_: alone.append(m.name))
    for workload in (blobs(epochs=1), sparse(1)):
        fit_together(workload, trainings(SETTINGS, (0,)))
    assert alone == ["rewa_adamw"] * 2
    assert can_pack(blobs(), get_method("rewa"))
    assert not can_pack(blobs(precision="bf16"), get_method("rewa"))
    assert not can_pack(sparse(10), get_method("lasso"))


POWERS = st.one_of(
    st.integers(1, 12).flatmap(lambda K: st.tuples(st.just(float(K)), st.integers(0, K - 1))),
    st.floats(1, 9).flatmap(lambda K: st.tuples(st.just(K), exponents(K))),
)
SHARED = {"lr": st.floats(1e-3, 0.05), "momentum": st.sampled_from([0.0, 0.5, 0.9])}
DECAYED = {**SHARED, "weight_decay": st.sampled_from([0.0, 1e-3, 0.1])}
EPSILON = st.one_of(st.just(0.0), st.floats(1e-4, 1))
DRAWS = st.one_of(
    st.tuples(POWERS, EPSILON, st.fixed_dictionaries(DECAYED)).map(
        lambda drawn: ("rewa", {"K": drawn[0][0], "M": drawn[0][1], "epsilon": drawn[1], **drawn[2]})
    ),
    st.tuples(st.just("magnitude"), st.fixed_dictionaries(DECAYED)),
    st.tuples(
        st.just("spred"),
        st.fixed_dictionaries({**DECAYED, "init": st.sampled_from(["balanced", "original"])}),
    ),
    st.tuples(st.just("sgd_l1"), st.fixed_dictionaries({**SHARED, "l1": st.sampled_from([0.0, 1e-3])})),
)


@pytest.mark.parametrize("kind", ["network", "linear"])
@settings(max_examples=12)
@given(drawn=st.lists(DRAWS, min_size=2, max_size=3), seed=st.integers(0, 99), size=st.integers(7, 40))
def test_any_settings(kind: str, drawn: list[Any], seed: int, size: int) -> None:
    """Four epochs of any settings; rounding grows a little where a subgradient jumps."""
    shape = {"d": 20, "n": 33, "n_val": 30, "n_test": 30, "eval_every": 2, "batch_size": size}
    workload = blobs(epochs=4, batch_size=size) if kind == "network" else sparse(4, **shape)
    asked = trainings(drawn, (seed, seed + 1))
    results = [*fit_together(workload, asked), fit_one(workload, asked[0].method, seed)]
    for training, ours in zip([*asked, asked[0]], results, strict=True):
        fitted = unpacked(workload, training)
        assert ours.status == fitted.status == "completed"
        assert [e.train_loss for e in ours.history] == pytest.approx(
            [e.train_loss for e in fitted.history], rel=1e-4
        )
        for a, b in zip(ours.model.parameters(), fitted.model.parameters(), strict=True):  # type: ignore[union-attr]
            torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5)


def test_rare_evaluations_callbacks_and_finetuning() -> None:
    """``watch`` and ``finetuning`` of one training are its own, whoever is beside it."""
    workload = blobs(epochs=5, eval_every=2)
    seen: dict[str, list[Any]] = {"pack": [], "fit": []}

    def watch(name: str) -> Watch:
        told = seen[name].append
        return Watch(lambda e: told(e.epoch), None, told, lambda number, most: told((number, most)))

    chosen, tuned = method("rewa", lr=0.05, K=3, M=1), FineTuning(ratios=(10.0,), epochs=1)
    neighbour = Training(method("magnitude", lr=0.1), 1)
    pack = fit_together(workload, [neighbour, Training(chosen, 0, None, watch("pack"), tuned)])
    fitted = fit(workload, chosen, 0, watch=watch("fit"), finetuning=tuned)
    assert seen["pack"] == seen["fit"]
    assert seen["pack"][:4] == ["training", 2, 4, 5]
    assert_close(pack[1], fitted, workload)
    assert "finetuned" in str(sorted(pack[1].findings))


def test_progress_is_told_once_an_epoch() -> None:
    steps: list[tuple[int, int]] = []
    watch = Watch(on_step=lambda done, of: steps.append((done, of)))
    fit_one(blobs(epochs=3), method("magnitude", lr=0.1), 0, watch=watch)
    assert steps == [(5, 15), (10, 15), (15, 15)]


def test_nothing_of_a_pack_is_left_in_the_process() -> None:
    """The models that come out hold their own weights only, and can be trained on."""
    workload = digits(1)
    asked = trainings(SETTINGS[:6], (0,))
    for ours, other in zip(
        fit_together(workload, asked), fit_together(workload, asked[::-1])[::-1], strict=True
    ):
        assert ours.model is not None
        for p in ours.model.parameters():
            assert p.untyped_storage().nbytes() == 4 * p.numel()
            assert p.requires_grad
        assert_same(ours, other)
