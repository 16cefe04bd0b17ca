"""Every training of a pack has its own checkpoint, which packs and ``fit`` take up alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from outcomes import (
    SETTINGS,
    assert_close,
    assert_same,
    blobs,
    digits,
    sparse,
    trainings,
    unpacked,
    with_partner,
)

from rewa.checkpoint import CheckpointFile
from rewa.descent import Epoch
from rewa.outcome import Watch
from rewa.packs import Training, fit_one, fit_together
from rewa.training import fit
from rewa.workloads.base import Workload

EPOCHS = 5
KINDS = {"network": blobs(epochs=EPOCHS), "linear": sparse(EPOCHS, eval_every=1)}


class StoppedError(Exception):
    """The machine went away."""


def asked(kind: str) -> list[Training]:
    slower = 0.02 if kind == "linear" else 1.0
    chosen = [SETTINGS[i] for i in (0, 1, 3, 4, 6)]
    return trainings([(n, {**v, "lr": v["lr"] * slower}) for n, v in chosen], (0, 1))


def kept(training: Training, folder: Path, number: int, stop: int = 0) -> Training:
    """Return a training that is saved at every epoch; its process ends at the end of epoch ``stop``."""

    def on_epoch(epoch: Epoch) -> None:
        if epoch.epoch == stop:
            raise StoppedError

    file = CheckpointFile(folder / f"{number}.pt", {"number": number}, every=0)
    return replace(training, checkpoint=file, watch=Watch(on_epoch, on_phase=PHASES.append))


PHASES: list[str] = []


def interrupted(workload: Workload, them: list[Training], folder: Path, stop: int, by: int) -> None:
    """Train until training number ``by`` raises; what the others have saved must be whole epochs."""
    with pytest.raises(StoppedError):
        fit_together(workload, [kept(t, folder, i, stop if i == by else 0) for i, t in enumerate(them)])


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    PHASES.clear()
    return str(request.param)


def test_a_pack_goes_on_bit_by_bit(kind: str, tmp_path: Path) -> None:
    workload, them = KINDS[kind], asked(kind)
    whole = fit_together(workload, them)
    interrupted(workload, them, tmp_path, stop=3, by=2)
    torch.manual_seed(99)  # another process would have another state
    PHASES.clear()
    again = fit_together(workload, [kept(t, tmp_path, i) for i, t in enumerate(them)])
    assert PHASES[: len(them)] == ["training, taken up after epoch 2"] * len(them)
    for ours, other in zip(again, whole, strict=True):
        assert_same(ours, other)


def test_rows_at_different_epochs(kind: str, tmp_path: Path) -> None:
    """Saved after epochs 1, 2, 3 and 4 and, for the last, never: each ends as it would have."""
    workload, them = KINDS[kind], asked(kind)
    whole = fit_together(workload, them)
    for number in range(4):
        with pytest.raises(StoppedError):
            with_partner(workload, kept(them[number], tmp_path, number, stop=number + 2))
    PHASES.clear()
    again = fit_together(workload, [kept(t, tmp_path, i) for i, t in enumerate(them)])
    assert [phase[-1] for phase in PHASES[:5]] == ["1", "2", "3", "4", "g"]
    for ours, other in zip(again, whole, strict=True):
        assert_same(ours, other)


@pytest.mark.parametrize("linear", [False, True])
def test_rows_at_different_epochs_are_evaluated_when_each_is_due(linear: bool, tmp_path: Path) -> None:
    """Every second epoch and the last: when one row is due, its neighbours are not."""
    workload = sparse(EPOCHS, eval_every=2) if linear else blobs(epochs=EPOCHS, eval_every=2)
    them = asked("linear" if linear else "network")[:3]
    whole = fit_together(workload, them)
    for number, stop in ((0, 2), (2, 4)):
        with pytest.raises(StoppedError):
            with_partner(workload, kept(them[number], tmp_path, number, stop))
    for ours, other in zip(
        fit_together(workload, [kept(t, tmp_path, i) for i, t in enumerate(them)]), whole, strict=True
    ):
        assert [epoch.epoch for epoch in ours.history] == [2, 4, 5]
        assert_same(ours, other)


def test_fit_takes_up_what_a_pack_saved(kind: str, tmp_path: Path) -> None:
    workload, them = KINDS[kind], asked(kind)
    interrupted(workload, them, tmp_path, stop=3, by=0)
    for number, training in enumerate(them):
        PHASES.clear()
        mine = kept(training, tmp_path, number)
        ours = fit(workload, mine.method, mine.seed, watch=mine.watch, checkpoint=mine.checkpoint)
        assert PHASES[1] == "training, taken up after epoch 2"
        assert_close(ours, unpacked(workload, training), workload)


def test_a_pack_takes_up_what_fit_saved(kind: str, tmp_path: Path) -> None:
    workload, them = KINDS[kind], asked(kind)
    for number, training in enumerate(them):
        mine = kept(training, tmp_path, number, stop=3)
        with pytest.raises(StoppedError):
            fit(workload, mine.method, mine.seed, watch=mine.watch, checkpoint=mine.checkpoint)
    PHASES.clear()
    again = fit_together(workload, [kept(t, tmp_path, i) for i, t in enumerate(them)])
    assert PHASES[: len(them)] == ["training, taken up after epoch 2"] * len(them)
    for ours, training in zip(again, them, strict=True):
        assert_close(ours, unpacked(workload, training), workload)


def test_what_is_at_its_end_is_only_measured(kind: str, tmp_path: Path) -> None:
    workload, them = KINDS[kind], asked(kind)[:3]
    whole = fit_together(workload, [kept(t, tmp_path, i) for i, t in enumerate(them)])
    steps: list[Any] = []
    watch = Watch(on_step=lambda *step: steps.append(step))
    taken = [replace(kept(t, tmp_path, i), watch=watch) for i, t in enumerate(them)]
    for ours, other in zip(fit_together(workload, taken), whole, strict=True):
        assert_same(ours, other)
    assert steps == []


def test_one_that_was_taken_up_is_saved_at_its_end(kind: str, tmp_path: Path) -> None:
    """However rarely it is saved otherwise: the frontier may take long."""
    workload, them = KINDS[kind], asked(kind)[:2]
    interrupted(workload, them, tmp_path, stop=2, by=0)
    rare = [CheckpointFile(tmp_path / f"{i}.pt", {"number": i}, every=1e9) for i in range(2)]
    fit_together(workload, [replace(t, checkpoint=file) for t, file in zip(them, rare, strict=True)])
    assert [(file.load() or {})["epoch"] for file in rare] == [EPOCHS] * 2


def test_a_training_without_a_file_writes_none_and_one_that_ends_early_keeps_its_own(tmp_path: Path) -> None:
    workload = KINDS["network"]
    plain, wild = asked("network")[0], trainings([("magnitude", {"lr": 1e9})], (0,))[0]
    ours = fit_together(workload, [plain, kept(wild, tmp_path, 1), kept(plain, tmp_path, 2)])
    assert ours[1].status == "diverged"
    assert [file.name for file in sorted(tmp_path.glob("*.pt"))] == ["2.pt"]
    assert_same(ours[0], ours[2])


def test_a_file_holds_one_training(tmp_path: Path) -> None:
    """Weights in a pack are views of stacks, and torch saves all of what a tensor views."""
    workload = digits(1)
    them = trainings([SETTINGS[i] for i in (0, 3, 4)], (0,))
    fit_together(workload, [kept(t, tmp_path, i) for i, t in enumerate(them)])
    for number, training in enumerate(them):
        mine = kept(training, tmp_path / "unpacked", number)
        fit(workload, mine.method, 0, checkpoint=mine.checkpoint)
        sizes = [(folder / f"{number}.pt").stat().st_size for folder in (tmp_path, tmp_path / "unpacked")]
        assert sizes[0] == pytest.approx(sizes[1], rel=0.05), training.method.name


def test_fit_one_takes_up_what_a_pack_saved(kind: str, tmp_path: Path) -> None:
    workload, them = KINDS[kind], asked(kind)[:2]
    interrupted(workload, them, tmp_path, stop=2, by=1)
    mine = kept(them[0], tmp_path, 0)
    ours = fit_one(workload, mine.method, mine.seed, watch=mine.watch, checkpoint=mine.checkpoint)
    assert "training, taken up after epoch 1" in PHASES
    assert_close(ours, fit_together(workload, them)[0], workload)
    if kind == "network":
        assert_same(ours, fit_together(workload, them)[0])
