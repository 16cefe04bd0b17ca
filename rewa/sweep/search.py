"""Who proposes the next trial: one Optuna study per method, taken in turn."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import optuna
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from rewa.record import Record
from rewa.sweep.folder import SweepFolder
from rewa.sweep.pack import SCORES, Packing
from rewa.sweep.space import MethodSpace, SearchSpace
from rewa.sweep.studies import open_storage, reconcile, trial_name
from rewa.sweep.trial import TrialSpec

METRIC, MODE = "score", "max"


class Draw:
    """Optuna's define-by-run function of one method; a class, so that it can be pickled.

    Args:
        method: Registered name of the method.
        part: Its distributions.
        schedule: Sum of the learning-rate factors over a training.
    """

    def __init__(self, method: str, part: MethodSpace, schedule: float) -> None:
        self.method, self.part, self.schedule = method, part, schedule

    def __call__(self, trial: Any) -> dict[str, Any]:
        """Draw one config; OptunaSearch merges what is returned into the trial's config."""
        values: dict[str, Any] = {}
        for name, distribution in self.part.sample.items():
            if self.part.active(values, name):
                values[name] = distribution.suggest(trial, name)
        config = self.part.config(self.method, values, self.schedule)
        trial.set_user_attr("config", config)
        return {"trial": trial_name(self.method, trial.number), "config": config}


class MethodsInTurn(Searcher):
    """Proposes trials of all methods in turn, each from its own study, until each has its number.

    Interleaving keeps the methods level at every moment, so a sweep stopped half-way is still fair; so does
    a pack, which takes trials of all methods that can be packed.
    The state is in the Optuna storage; nothing needs saving here.

    Args:
        searches: OptunaSearch by method.
        remaining: How many trials each method still has.
        template: What all trials share; method, trial name and config are filled in.
        packing: How many are proposed as one task.
    """

    def __init__(
        self,
        searches: dict[str, OptunaSearch],
        remaining: dict[str, int],
        template: TrialSpec,
        packing: Packing,
    ) -> None:
        super().__init__(metric=METRIC, mode=MODE)
        self.searches = searches
        self.remaining = dict(remaining)
        self.template = template
        self.packed = [name for name in self.remaining if name in packing.methods]
        self.share = packing.share(self._packed_left())
        self.running: dict[str, dict[int, str]] = {}
        self.reported: list[tuple[str, dict[str, float]]] = []

    def suggest(self, trial_id: str) -> Any:
        """Return the next task, its first trial of the method with the most left to do."""
        self._tell()
        method = self._next(self.remaining)
        if self.remaining[method] == 0:
            return Searcher.FINISHED
        count = min(self.share, self._packed_left()) if method in self.packed else 1
        self.running[trial_id] = {}
        specs = []
        for number in range(count):
            if number:
                method = self._next(self.packed)
            self.remaining[method] -= 1
            self.running[trial_id][number] = method
            drawn = self.searches[method].suggest(_of_task(trial_id, number))
            assert drawn is not None  # OptunaSearch never runs out
            update = {"method": method, "trial": drawn["trial"], "config": drawn["config"]}
            specs.append(self.template.model_copy(update=update).model_dump())
        return {"specs": specs}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Note the scores of a task's finished trials; the studies are told when their records are kept.

        Tune tells its searcher before its callbacks. Told at once, a study would know a trial as finished
        whose record a kill prevented, and the trial would be run, and told, again.
        """
        self.reported.append((trial_id, json.loads(result.get(SCORES, "{}"))))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the studies what is left; interrupted trials stay running there, for a resume to take up."""
        if result is not None:
            self.on_trial_result(trial_id, result)
        self._tell()
        if error:
            for number, method in self.running.pop(trial_id, {}).items():
                self.searches[method].on_trial_complete(_of_task(trial_id, number), None, error)

    def _tell(self) -> None:
        """Tell the studies the noted scores."""
        for trial_id, scores in self.reported:
            running = self.running.get(trial_id, {})
            for number, score in scores.items():
                if method := running.pop(int(number), None):
                    name = _of_task(trial_id, int(number))
                    self.searches[method].on_trial_complete(name, {METRIC: score})
        self.reported.clear()

    def _packed_left(self) -> int:
        """Return how many trials that can be packed are left."""
        return sum(self.remaining[name] for name in self.packed)

    def _next(self, methods: Iterable[str]) -> str:
        """Return the method with the most left to do."""
        return max(methods, key=lambda name: self.remaining[name])

    def save(self, checkpoint_path: str) -> None:
        """Do nothing; see the class."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing; see the class."""


def _of_task(trial_id: str, number: int) -> str:
    """Return the name by which a search knows one trial of a task."""
    return f"{trial_id}/{number}"


class ListedTrials(Searcher):
    """Proposes given trials, those that can be packed first.

    Args:
        specs: The trials.
        packing: How many are proposed as one task.
    """

    def __init__(self, specs: Iterable[TrialSpec], packing: Packing) -> None:
        super().__init__(metric=METRIC, mode=MODE)
        self.waiting = deque(sorted(specs, key=lambda spec: spec.method not in packing.methods))
        self.packed = sum(spec.method in packing.methods for spec in self.waiting)
        self.share = packing.share(self.packed)

    def suggest(self, trial_id: str) -> Any:
        """Return the next task of the list."""
        if not self.waiting:
            return Searcher.FINISHED
        count = min(self.share, self.packed) or 1
        self.packed = max(0, self.packed - count)
        return {"specs": [self.waiting.popleft().model_dump() for _ in range(count)]}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Do nothing: the list is fixed."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Do nothing: the list is fixed."""

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: finished trials are known from the output directory."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing; see :meth:`save`."""


class SearchThenConfirm(Searcher):
    """Proposes a search's tasks and, when all have ended, the confirmation's, to the same workers.

    Args:
        search: The search.
        confirm: Called once, when every task of the search has ended; returns what follows.
    """

    def __init__(self, search: MethodsInTurn, confirm: Callable[[], ListedTrials]) -> None:
        super().__init__(metric=METRIC, mode=MODE)
        self.search, self.confirm = search, confirm
        self.running: set[str] = set()
        self.listed: ListedTrials | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its searcher and never reads it back here

    def suggest(self, trial_id: str) -> Any:
        """Return the next task; ``None``, not yet, while the search's last ones run."""
        if self.listed is None:
            task = self.search.suggest(trial_id)
            if task != Searcher.FINISHED:
                self.running.add(trial_id)
                return task
            if self.running:
                return None
            self.listed = self.confirm()
        return self.listed.suggest(trial_id)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell the search."""
        if trial_id in self.running:
            self.search.on_trial_result(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the search."""
        if trial_id in self.running:
            self.search.on_trial_complete(trial_id, result, error)
            self.running.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: finished trials are known from the output directory."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing; see :meth:`save`."""


def build_search(
    space: SearchSpace, folder: SweepFolder, template: TrialSpec, schedule: float, packing: Packing
) -> tuple[MethodsInTurn, int]:
    """Open or create the studies, bring them in line with the finished trials, and return the searcher.

    Args:
        space: The search space; its ``trials`` is the number per method.
        folder: Output directory.
        template: What all trials share.
        schedule: Sum of the learning-rate factors over a training.
        packing: How many trials are proposed as one task.

    Returns:
        The searcher and the number of trials it will still propose.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(folder)
    finished: dict[str, dict[str, Record]] = {name: {} for name in space.methods}
    for record in folder.records("search"):
        finished[record.method][record.trial] = record
    searches, remaining = {}, {}
    for index, (name, part) in enumerate(space.methods.items()):
        study_name = f"{space.name}/{name}"
        study = optuna.create_study(
            storage=storage, study_name=study_name, direction="maximize", load_if_exists=True
        )
        reconcile(study, name, part, finished[name])
        # a sampler seeded alike after a resume would propose the first trials again
        seed = [space.seed, index, len(study.trials)]
        sampler = optuna.samplers.TPESampler(seed=_mix(seed))
        searches[name] = OptunaSearch(
            space=Draw(name, part, schedule),
            metric=METRIC,
            mode=MODE,
            study_name=study_name,
            storage=storage,
            sampler=sampler,
        )
        remaining[name] = max(0, space.trials - len(finished[name]))
    return MethodsInTurn(searches, remaining, template, packing), sum(remaining.values())


def _mix(parts: list[int]) -> int:
    """Return one 32-bit seed from several integers."""
    import numpy as np

    return int(np.random.SeedSequence(parts).generate_state(1)[0])
