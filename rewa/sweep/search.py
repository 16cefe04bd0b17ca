"""Who proposes the next trial: one Optuna study per method, taken in turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from rewa.record import Record
from rewa.sweep.folder import SweepFolder
from rewa.sweep.space import MethodSpace, SearchSpace
from rewa.sweep.trial import TrialSpec

METRIC, MODE = "score", "max"


def trial_name(method: str, number: int) -> str:
    """Return the name of an Optuna trial, such as ``rewa-0007``."""
    return f"{method}-{number:04d}"


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

    Interleaving keeps the methods level at every moment, so a sweep stopped half-way is still fair.
    The state is in the Optuna storage; nothing needs saving here.

    Args:
        searches: OptunaSearch by method.
        remaining: How many trials each method still has.
        template: What all trials share; method, trial name and config are filled in.
    """

    def __init__(
        self, searches: dict[str, OptunaSearch], remaining: dict[str, int], template: TrialSpec
    ) -> None:
        super().__init__(metric=METRIC, mode=MODE)
        self.searches = searches
        self.remaining = dict(remaining)
        self.template = template
        self.method_of: dict[str, str] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial, of the method with the most left to do."""
        method = max(self.remaining, key=lambda name: self.remaining[name])
        if self.remaining[method] == 0:
            return Searcher.FINISHED
        self.remaining[method] -= 1
        self.method_of[trial_id] = method
        drawn = self.searches[method].suggest(trial_id)
        assert drawn is not None  # OptunaSearch never runs out
        update = {"method": method, "trial": drawn["trial"], "config": drawn["config"]}
        return {"spec": self.template.model_copy(update=update).model_dump()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Do nothing: a trial reports once, at its end."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the study; an interrupted trial is left running there, for a resume to take up."""
        if result is not None or error:
            self.searches[self.method_of[trial_id]].on_trial_complete(trial_id, result, error)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing; see the class."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing; see the class."""


class ListedTrials(Searcher):
    """Proposes given trials, in order."""

    def __init__(self, specs: Iterable[TrialSpec]) -> None:
        super().__init__(metric=METRIC, mode=MODE)
        self.waiting = deque(specs)

    def suggest(self, trial_id: str) -> Any:
        """Return the next of the list."""
        if not self.waiting:
            return Searcher.FINISHED
        return {"spec": self.waiting.popleft().model_dump()}

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


def build_search(
    space: SearchSpace, folder: SweepFolder, template: TrialSpec, schedule: float
) -> tuple[MethodsInTurn, int]:
    """Open or create the studies, bring them in line with the finished trials, and return the searcher.

    Args:
        space: The search space; its ``trials`` is the number per method.
        folder: Output directory.
        template: What all trials share.
        schedule: Sum of the learning-rate factors over a training.

    Returns:
        The searcher and the number of trials it will still propose.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(folder.storage_url)
    finished: dict[str, dict[str, Record]] = {name: {} for name in space.methods}
    for record in folder.records("search"):
        finished[record.method][record.trial] = record
    searches, remaining = {}, {}
    for index, (name, part) in enumerate(space.methods.items()):
        study_name = f"{space.name}/{name}"
        study = optuna.create_study(
            storage=storage, study_name=study_name, direction="maximize", load_if_exists=True
        )
        _reconcile(study, name, part, finished[name])
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
    return MethodsInTurn(searches, remaining, template), sum(remaining.values())


def _reconcile(study: optuna.Study, method: str, part: MethodSpace, finished: dict[str, Record]) -> None:
    """Make a study agree with the finished trials on disk.

    Known settings are enqueued in a new study. A trial that was running when the driver died is told
    its score if its result was saved, and otherwise fails and is proposed again with the same values.
    """
    trials = study.get_trials(deepcopy=False)
    if not trials:
        for values in part.known:
            study.enqueue_trial(dict(values), user_attrs={"source": "known"})
        return
    repeated = {trial.user_attrs.get("repeats") for trial in trials}
    for trial in trials:
        record = finished.get(trial_name(method, trial.number))
        if trial.state == TrialState.RUNNING:
            if record is not None:
                study.tell(trial.number, record.score)
            else:
                study.tell(trial.number, state=TrialState.FAIL)
                _propose_again(study, trial)  # from now on known as repeated
        elif record is None and trial.state.is_finished() and trial.number not in repeated:
            _propose_again(study, trial)


def _propose_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Enqueue a lost trial's values, once."""
    if trial.params:
        study.enqueue_trial(trial.params, user_attrs={"repeats": trial.number})
    elif fixed := trial.system_attrs.get("fixed_params"):  # killed before it drew its known values
        study.enqueue_trial(fixed, user_attrs={"repeats": trial.number})


def _mix(parts: list[int]) -> int:
    """Return one 32-bit seed from several integers."""
    import numpy as np

    return int(np.random.SeedSequence(parts).generate_state(1)[0])
