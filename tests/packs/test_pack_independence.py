"""A training's outcome does not depend on its neighbours, and ends when its own reasons say so."""

from __future__ import annotations

import pytest
from outcomes import (
    SETTINGS,
    Blobs,
    assert_close,
    assert_same,
    blobs,
    method,
    sparse,
    trainings,
    unpacked,
    with_partner,
)

from rewa.descent import Epoch
from rewa.outcome import Watch
from rewa.packs import Training, fit_one, fit_together
from rewa.workloads.base import Workload

LINEAR = [(name, {**values, "lr": values["lr"] * 0.02}) for name, values in SETTINGS[:8]]
EXPLODES = Training(method("magnitude", lr=1e9), 0)
STUCK = Training(method("magnitude", lr=1e-9), 3)
"""With this seed the start guesses at chance, and it stays there."""


@pytest.mark.parametrize(
    ("workload", "asked"),
    [(blobs(epochs=12), trainings(SETTINGS[:8], (0, 1))), (sparse(12), trainings(LINEAR, (0, 1)))],
    ids=["network", "linear"],
)
def test_neighbours_do_not_matter_to_the_bit(workload: Workload, asked: list[Training]) -> None:
    """In twos, in reverse, beside one that explodes at once and one that ends in between; and alone."""
    first = [with_partner(workload, training) for training in asked]
    twos = [fit_together(workload, asked[i : i + 2]) for i in range(0, len(asked), 2)]
    mixed = fit_together(workload, [EXPLODES, *asked[:3], STUCK, *asked[3:]])
    ended = [mixed.pop(4), mixed.pop(0)]
    assert [result.status for result in ended][1] == "diverged"
    reverse = fit_together(workload, asked[::-1])[::-1]
    for number, one in enumerate(first):
        assert one.status == "completed"
        for other in (twos[number // 2][number % 2], mixed[number], reverse[number]):
            assert_same(one, other)
        alone = fit_one(workload, asked[number].method, asked[number].seed)
        if isinstance(workload, Blobs):
            assert_same(one, alone)
        else:
            assert_close(one, alone, workload)


def test_more_rows_than_one_product_or_tile_takes() -> None:
    """35 rows of a linear model are evaluated in three products."""
    workload = sparse(5)
    asked = [Training(method("magnitude", lr=1e-4 * (i + 1)), i % 2) for i in range(35)]
    together = fit_together(workload, asked)
    for i in (0, 15, 16, 34):
        assert_same(together[i], with_partner(workload, asked[i]))
    assert len({result.history[-1].val_metric for result in together}) == 35


@pytest.mark.parametrize("workload", [blobs(epochs=4), sparse(4, eval_every=1)], ids=["network", "linear"])
@pytest.mark.parametrize("lr", [1e9, 30.0])
def test_one_that_explodes_leaves_alone(workload: Workload, lr: float) -> None:
    """At once, or after some epochs; the same epoch and history as unpacked, and the others go on."""
    wild = Training(method("rewa", lr=lr, K=2, M=1, momentum=0.0), 0)
    calm = Training(method("magnitude", lr=1e-3), 0)
    fitted = unpacked(workload, wild)
    together, other = fit_together(workload, [wild, calm])
    for ours in (together, fit_one(workload, wild.method, 0)):
        assert ours.status == fitted.status == "diverged"
        assert ours.reason.startswith("the training loss became")
        assert ours.reason.rpartition(" in ")[2] == fitted.reason.rpartition(" in ")[2]
        assert [e.epoch for e in ours.history] == [e.epoch for e in fitted.history]
        assert (ours.frontier, ours.model, ours.findings, ours.layers) == ([], None, {}, [])
    assert_same(other, with_partner(workload, calm))
    assert other.status == "completed"


def test_one_that_stays_at_chance_ends_when_fit_would_end_it() -> None:
    """After ten evaluations at chance, but not before half of the epochs; beside two that learn."""
    workload = blobs(epochs=26)
    fades = Training(method("magnitude", lr=0.1, weight_decay=6.0, momentum=0.0), 1)
    learns = Training(method("magnitude", lr=0.1), 0)
    epochs: list[Epoch] = []
    watched = Training(STUCK.method, STUCK.seed, watch=Watch(epochs.append))
    stuck, good, faded = fit_together(workload, [watched, learns, fades])
    assert stuck.reason == "validation accuracy stayed at chance until epoch 13"
    assert len(epochs) == len(stuck.history) == 13
    for ours, training in ((stuck, STUCK), (good, learns), (faded, fades)):
        assert_close(ours, unpacked(workload, training), workload)
    assert (good.status, faded.status) == ("completed", "diverged")
    assert_same(good, fit_one(workload, learns.method, 0))


def test_a_weight_that_is_not_finite_at_the_end() -> None:
    """The last step can do it, when no loss follows that would show it."""
    workload = blobs(epochs=1, batch_size=70, warmup=0.0)
    jumps = Training(method("magnitude", lr=3e38, weight_decay=1e3), 0)
    ours = fit_one(workload, jumps.method, 0)
    assert (ours.status, ours.reason) == ("diverged", "a weight is not finite at the end")
    assert_close(ours, unpacked(workload, jumps), workload)
