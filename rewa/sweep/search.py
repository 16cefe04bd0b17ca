"""Who proposes the next trial: one Optuna study per method, taken in turn."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from ray.tune.search.optuna import OptunaSearch

from rewa.record import Record
from rewa.sweep.folder import SweepFolder
from rewa.sweep.pack import Packing
from rewa.sweep.space import MethodSpace, SearchSpace
from rewa.sweep.studies import open_studies, trial_name
from rewa.sweep.tasks import METRIC, MODE
from rewa.sweep.trial import TrialSpec


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
        return {"trial": trial_name(self.method, trial.number), "config": config, "sampled": values}


class MethodsInTurn:
    """Proposes trials of all methods in turn, each from its own study, until each has its number.

    Interleaving keeps the methods level at every moment, so a sweep stopped half-way is still fair; so does
    a pack, which takes trials of all methods that can be packed.

    Args:
        searches: OptunaSearch by method.
        remaining: How many trials each method still has.
        template: What all trials share; method, trial name and config are filled in.
        packing: How many are proposed as one task.
    """

    def __init__(
        self,
        searches: Mapping[str, OptunaSearch],
        remaining: Mapping[str, int],
        template: TrialSpec,
        packing: Packing,
    ) -> None:
        self.searches = searches
        self.remaining = dict(remaining)
        self.template = template
        self.packed = [name for name in self.remaining if name in packing.methods]
        self.share = packing.share(self._packed_left())
        self._asked: dict[str, tuple[str, str]] = {}
        self._count = itertools.count()

    def propose(self) -> list[TrialSpec]:
        """Return the next task, its first trial of the method with the most left; empty when none has."""
        method = self._next(self.remaining)
        if self.remaining[method] == 0:
            return []
        count = min(self.share, self._packed_left()) if method in self.packed else 1
        specs = []
        for number in range(count):
            if number:
                method = self._next(self.packed)
            self.remaining[method] -= 1
            specs.append(self._draw(method))
        return specs

    def tell(self, trial: str, score: float | None) -> None:
        """Tell a trial's study its score, once; to be called when the trial's record is kept.

        Told earlier, a study would know a trial as finished whose record a kill prevented. A trial that is
        never told stays running in its study, for a resumption to take up.
        """
        if asked := self._asked.pop(trial, None):
            method, name = asked
            self.searches[method].on_trial_complete(name, {METRIC: score})

    def _draw(self, method: str) -> TrialSpec:
        """Ask a method's study for a trial."""
        name = str(next(self._count))
        drawn = self.searches[method].suggest(name)
        assert isinstance(drawn, dict)
        self._asked[drawn["trial"]] = method, name
        update = {"method": method, **{key: drawn[key] for key in ("trial", "config", "sampled")}}
        return self.template.model_copy(update=update)

    def _packed_left(self) -> int:
        """Return how many trials that can be packed are left."""
        return sum(self.remaining[name] for name in self.packed)

    def _next(self, methods: Iterable[str]) -> str:
        """Return the method with the most left to do."""
        return max(methods, key=lambda name: self.remaining[name])


class ListedTrials:
    """Proposes given trials, those that can be packed first.

    Args:
        specs: The trials.
        packing: How many are proposed as one task.
    """

    def __init__(self, specs: Iterable[TrialSpec], packing: Packing) -> None:
        self.waiting = deque(sorted(specs, key=lambda spec: spec.method not in packing.methods))
        self.packed = sum(spec.method in packing.methods for spec in self.waiting)
        self.share = packing.share(self.packed)

    def propose(self) -> list[TrialSpec]:
        """Return the next task of the list; empty at its end."""
        count = min(self.share, self.packed) or min(1, len(self.waiting))
        self.packed = max(0, self.packed - count)
        return [self.waiting.popleft() for _ in range(count)]


def build_search(
    space: SearchSpace, folder: SweepFolder, template: TrialSpec, schedule: float, packing: Packing
) -> MethodsInTurn:
    """Open or create the studies, bring them in line with the finished trials, and return the search.

    Args:
        space: The search space; its ``trials`` is the number per method.
        folder: Output directory.
        template: What all trials share.
        schedule: Sum of the learning-rate factors over a training.
        packing: How many trials are proposed as one task.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    finished: dict[str, dict[str, Record]] = {name: {} for name in space.methods}
    for record in folder.records("search"):
        finished[record.method][record.trial] = record
    storage, studies = open_studies(folder, space, finished)
    searches, remaining = {}, {}
    for index, (name, study) in enumerate(studies.items()):
        # a sampler seeded alike after a resume would propose the first trials again
        seed = [space.seed, index, len(study.trials)]
        sampler = optuna.samplers.TPESampler(seed=_mix(seed))
        searches[name] = OptunaSearch(
            space=Draw(name, space.methods[name], schedule),
            metric=METRIC,
            mode=MODE,
            study_name=study.study_name,
            storage=storage,
            sampler=sampler,
        )
        remaining[name] = max(0, space.trials - len(finished[name]))
    return MethodsInTurn(searches, remaining, template, packing)


def _mix(parts: list[int]) -> int:
    """Return one 32-bit seed from several integers."""
    import numpy as np

    return int(np.random.SeedSequence(parts).generate_state(1)[0])
