"""Several trainings in one process, from seeds to frontiers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from rewa.checkpoint import CheckpointFile
from rewa.descent import Descent
from rewa.distributed import world_size
from rewa.finetuning import FineTuning
from rewa.methods.base import GradientMethod, Method
from rewa.outcome import Costs, TrainingResult, Watch, diverged, measured
from rewa.packs.ensemble import Ensemble
from rewa.packs.layers import structure
from rewa.packs.linear import LinearEnsemble
from rewa.packs.networks import NetworkEnsemble
from rewa.training import after_epoch, descent_of, fit, fresh_model, is_evaluated
from rewa.workloads.base import Workload

OnResult = Callable[[int, TrainingResult], None]
"""Called with the number of a training and its outcome, as soon as it has one."""

ENSEMBLES: tuple[type[Ensemble], ...] = (LinearEnsemble, NetworkEnsemble)


@dataclass(frozen=True)
class Training:
    """One training of a pack; see :func:`rewa.training.fit` for what the attributes mean.

    ``watch.on_step`` is told once an epoch only.
    """

    method: Method
    seed: int
    checkpoint: CheckpointFile | None = None
    watch: Watch = field(default_factory=Watch)
    finetuning: FineTuning | None = None


@dataclass
class _Row:
    """A training under way.

    Attributes:
        number: Its number among those asked for.
        shares: Per epoch, its share of the wall time: that of the pack over the trainings in it.
        evaluating: Its share of the time spent on evaluation.
    """

    number: int
    training: Training
    descent: Descent
    shares: list[float] = field(default_factory=list)
    evaluating: float = 0.0

    @property
    def costs(self) -> Costs:
        """Time so far, and samples per second over all epochs but the first, which warms up."""
        timed = self.shares[1:] or self.shares
        samples = len(timed) * self.descent.workload.split_sizes["train"]
        speed = samples / sum(timed) if sum(timed) > 0 else None
        return Costs(sum(self.shares) + self.evaluating, speed)


def ensemble_for(workload: Workload) -> type[Ensemble] | None:
    """Return how trainings of a workload are taken together; ``None`` if they cannot be."""
    return next((kind for kind in ENSEMBLES if kind.suits(workload)), None)


def can_pack(workload: Workload, method: type[Method]) -> bool:
    """Return whether trainings of a workload by a method may share their passes."""
    return ensemble_for(workload) is not None and issubclass(method, GradientMethod)


def fit_together(
    workload: Workload, trainings: Sequence[Training], on_result: OnResult | None = None
) -> list[TrainingResult]:
    """Do what :func:`rewa.training.fit` does for each of several trainings, sharing passes over the data.

    Each outcome is that of ``fit`` up to floating-point rounding, whatever its neighbours: same start, same
    batches, same rules for ending early, and a checkpoint that ``fit`` could take up too. Hyper-parameters,
    methods and seeds may differ from row to row. Trainings that cannot be taken together (solvers, optimizers
    or networks that :mod:`rewa.packs` does not know) are done one after another.

    Args:
        workload: Of all of them.
        trainings: What to train.
        on_result: Told of every outcome when it is there.

    Returns:
        The outcomes in the order of ``trainings``; ``seconds`` and ``samples_per_second`` are of a training's
        share of the time.

    Raises:
        UserError: As ``fit``.
    """
    results: dict[int, TrainingResult] = {}

    def keep(number: int, result: TrainingResult) -> None:
        results[number] = result
        if on_result:
            on_result(number, result)

    rows = _rows(workload, trainings)
    if rows:
        _descend_together(workload, rows, keep)
    for number, training in enumerate(trainings):
        if number not in results:
            keep(number, _fit(workload, training))
    return [results[number] for number in range(len(trainings))]


def fit_one(
    workload: Workload,
    method: Method,
    seed: int,
    *,
    watch: Watch | None = None,
    checkpoint: CheckpointFile | None = None,
    finetuning: FineTuning | None = None,
) -> TrainingResult:
    """Do what :func:`rewa.training.fit` does, in a pack of one where the workload allows, which is faster.

    On one machine and with one thread, the result of a network is the same to the bit as in any pack; with
    more threads, and for a linear model, it is so up to rounding.
    """
    training = Training(method, seed, checkpoint, watch or Watch(), finetuning)
    if world_size() > 1:
        return _fit(workload, training)
    return fit_together(workload, [training])[0]


def _fit(workload: Workload, training: Training) -> TrainingResult:
    """Train unpacked."""
    return fit(
        *(workload, training.method, training.seed),
        watch=training.watch,
        checkpoint=training.checkpoint,
        finetuning=training.finetuning,
    )


def _rows(workload: Workload, trainings: Sequence[Training]) -> list[_Row]:
    """Begin, or take up, all trainings that can be taken together."""
    kind = ensemble_for(workload)
    rows = []
    for number, training in enumerate(trainings):
        if kind is None or not isinstance(training.method, GradientMethod):
            continue
        model = fresh_model(workload, training.seed)
        built = structure(model)
        descent = descent_of(workload, training.method, model, training.seed)
        if not kind.takes(descent) or structure(model) != built:  # all rows must be of one structure
            continue
        if training.checkpoint and (state := training.checkpoint.load()) is not None:
            descent.restore(state)
            training.watch.phase(f"training, taken up after epoch {descent.epoch}")
        else:
            training.watch.phase("training")
        rows.append(_Row(number, training, descent))
    return rows


def _descend_together(workload: Workload, rows: Sequence[_Row], keep: OnResult) -> None:
    """Train rows to their ends, each measured when it gets there."""
    kind = ensemble_for(workload)
    assert kind is not None
    ensemble = kind([row.descent for row in rows])
    epochs = int(workload.config.epochs)
    live = list(range(len(rows)))
    try:
        while live:
            for at in [at for at in live if rows[at].descent.epoch >= epochs]:  # taken up at its end
                live.remove(at)
                _measure(workload, ensemble, at, rows[at], "", keep)
            for at, reason in _epoch(workload, ensemble, live, rows) if live else ():
                row = rows[at]
                last = row.descent.epoch == epochs
                if not reason and row.training.checkpoint:
                    row.training.checkpoint.save_when_due(partial(ensemble.state, at), force=last)
                if reason:
                    live.remove(at)
                    _measure(workload, ensemble, at, row, reason, keep)
    finally:
        ensemble.close()


def _epoch(
    workload: Workload, ensemble: Ensemble, live: Sequence[int], rows: Sequence[_Row]
) -> list[tuple[int, str]]:
    """Train the live rows for an epoch, and return each with why it ends, empty if it goes on."""
    rates = [rows[at].descent.lr for at in live]
    started = time.perf_counter()
    losses = ensemble.run_epoch(live)
    trained = time.perf_counter()
    due = [at for at in live if is_evaluated(workload, rows[at].descent.epoch)]
    values = dict(zip(due, ensemble.evaluate(due), strict=True)) if due else {}
    evaluated = time.perf_counter()
    found = []
    for at, rate, loss in zip(live, rates, losses, strict=True):
        row = rows[at]
        row.shares.append((trained - started) / len(live))
        row.evaluating += (evaluated - trained) / len(live)
        watch, descent = row.training.watch, row.descent
        if watch.on_step:
            watch.on_step(descent.step, descent.total_steps)
        found.append((at, after_epoch(descent, loss, rate, watch.on_epoch, partial(values.__getitem__, at))))
    return found


def _measure(workload: Workload, ensemble: Ensemble, at: int, row: _Row, reason: str, keep: OnResult) -> None:
    """Measure a row that has ended."""
    descent, method, seed = row.descent, row.training.method, row.training.seed
    if reason:
        keep(row.number, diverged(workload, reason, descent.history, row.costs))
        return
    started = time.perf_counter()
    ensemble.store(at)
    assert isinstance(method, GradientMethod)
    model = method.dense_copy(descent.model)
    row.evaluating += time.perf_counter() - started
    result = measured(
        *(workload, method, model, seed, descent.history, row.costs),
        watch=row.training.watch,
        finetuning=row.training.finetuning,
    )
    keep(row.number, result)
