"""How much each tuned quantity mattered for the objective, and what a quantity that does nothing would get.

The measure is the functional ANOVA of Hutter, Hoos and Leyton-Brown (2014): a random forest predicts the
score, and a quantity's importance is the share of the forest's variance over the searched ranges that its
mean effect explains alone. It comes from `optuna.importance`. Of optuna's evaluators this one was chosen
because its shares mean something (two effects with variances 4 to 1 get 0.8 and 0.2 from many trials) and
because it sees what makes trials fail. PED-ANOVA, twice as fast, looks at the best trials: in 60 planted
searches of 40 trials each it missed the quantity that makes a fifth of them fail in two of three, and the
smaller of two effects with variances 4 to 1 in a third to a half, where this missed none and one in six.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from analysis import text
from analysis.evidence.trials import Scale, named, quantities, scale_of, with_config, with_draws
from analysis.tables import SweepRecord

View = Literal["drawn", "config"]
ROUNDS = 8
TREES = 4  # per round; with scrambled copies of four quantities a round takes some 15 ms for 40 trials
DEPTH = 4  # deeper trees cost more and found nothing more on planted functions
LEAST = 10  # trials
MOST = 200  # trials per round
QUANTILE = 0.95
LITTLE = 0.05  # a share too small to be said to matter, however clearly it is there
SHADOW = " scrambled"


@dataclass(frozen=True)
class Share:
    """The importance of one quantity.

    Attributes:
        name: Of the quantity.
        mean: Share of the variance of the score it explains alone, in [0, 1]; the mean over the rounds.
        low: The lowest of the rounds.
        high: The highest.
        stands_out: Whether the mean is above the floor.
    """

    name: str
    mean: float
    low: float
    high: float
    stands_out: bool


@dataclass(frozen=True)
class Importance:
    """What mattered to one method.

    Attributes:
        method: Name of the method.
        view: Of what was ``drawn``, or of the method's own settings, ``config``.
        trials: Number of search trials.
        looked_at: Number of them that a round looks at.
        shares: The most important first; empty where nothing could be measured.
        floor: What 95 of 100 scrambled copies of these quantities stay below.
        reason: Why there are no shares; empty otherwise.
        left_out: Sentences on quantities that could not be measured.
    """

    method: str
    view: View
    trials: int
    looked_at: int = 0
    shares: tuple[Share, ...] = ()
    floor: float = 0.0
    reason: str = ""
    left_out: tuple[str, ...] = ()


def importances(record: SweepRecord, method: str) -> list[Importance]:
    """Measure what mattered to a method, by what was drawn and, where that differs, by its own settings.

    Args:
        record: The sweep.
        method: Name of the method.

    Returns:
        One or two; the draws first. Empty for a method without search trials.
    """
    drawn, config = with_draws(record, method), with_config(record, method)
    if drawn.empty:
        return []
    by_draw, by_config = quantities(drawn), quantities(config)
    tables: list[tuple[View, pd.DataFrame, list[str]]] = []
    if by_draw:
        tables.append(("drawn", drawn, by_draw))
    if not by_draw or not set(by_draw) >= set(by_config):
        tables.append(("config", config, by_config))
    return [measure(record, method, view, table, names) for view, table, names in tables]


def measure(
    record: SweepRecord, method: str, view: View, trials: pd.DataFrame, names: list[str]
) -> Importance:
    """Measure the importance of some columns of a table of trials.

    Eight rounds, each a forest of its own on resampled trials; a round also holds a copy of every column
    whose values are shuffled among the trials, as in Kursa and Rudnicki's Boruta (2010). The copies' shares
    are what a quantity that does nothing gets beside the others. On planted functions of 40 trials an idle
    quantity passed the floor in about 1 of 20 searches, and the range over the rounds held the average of
    repeated searches in about 3 of 4.

    Args:
        record: The sweep, for the scales.
        method: Name of the method.
        view: What the columns are.
        trials: One row per trial with ``trial``, ``score`` and the columns; see `trials_of`.
        names: The columns. Constant ones are left out silently, those that some trials do not have (drawn
            under a condition) with a sentence.

    Returns:
        The same for the same trials in any order, whatever the columns are called.
    """
    scored = trials.dropna(subset=["score"])
    absent = {name: int(scored[name].isna().sum()) for name in names}
    kept = [name for name in names if not absent[name]]
    left_out = tuple(
        f"{name} was set in {len(scored) - count} of {len(scored)} trials only and is left out"
        for name, count in absent.items()
        if count
    )
    reason = _reason(scored, kept)
    if reason:
        return Importance(method, view, len(trials), reason=reason, left_out=left_out)
    scales = {name: scale_of(record, method, name, scored[name]) for name in kept}
    found, floor = _measured(
        tuple(_distribution(scale) for scale in scales.values()),
        tuple(tuple(scale.position(scored[name])) for name, scale in scales.items()),
        tuple(scored["score"].astype(float)),
    )
    shares = [
        Share(name, float(np.mean(own)), min(own), max(own), bool(np.mean(own) > floor))
        for name, own in zip(kept, found, strict=True)
    ]
    shares.sort(key=lambda share: -share.mean)
    looked_at = min(len(scored), MOST)
    return Importance(method, view, len(trials), looked_at, tuple(shares), floor, left_out=left_out)


def _reason(scored: pd.DataFrame, names: list[str]) -> str:
    """Why nothing can be measured; empty if it can."""
    if len(scored) < LEAST:
        return f"{len(scored)} trials are too few: it takes {LEAST}"
    if scored["score"].nunique() < 2:
        return "all trials have the same score"
    if not names:
        return "nothing was tuned in all trials"
    if len(names) == 1:
        return f"only one quantity was tuned, {names[0]}"
    return ""


def _distribution(scale: Scale) -> BaseDistribution:
    """What optuna draws the places on a scale from.

    Logarithms are taken before: its functional ANOVA integrates over the plain values of a logarithmic
    distribution, so that the top decade of four would count for nine tenths of the range.
    """
    low, high = scale.ends
    if scale.kind == "choice":
        return CategoricalDistribution([float(place) for place in range(len(scale.choices))])
    return FloatDistribution(low, high)


@lru_cache(maxsize=64)
def _measured(
    distributions: tuple[BaseDistribution, ...],
    columns: tuple[tuple[float, ...], ...],
    scores: tuple[float, ...],
) -> tuple[tuple[tuple[float, ...], ...], float]:
    """Return the shares by column and round, and the floor.

    Args:
        distributions: One per column.
        columns: The trials' places on every scale.
        scores: The trials' scores.
    """
    table = np.column_stack([*columns, scores])
    # sorted, so that the order of the trials does not matter; by value, so that their names do not either
    table = table[np.lexsort(table.T)]
    rounds = [_round(distributions, table, seed) for seed in range(ROUNDS)]
    real, shadows = (np.array([one[part] for one in rounds]) for part in (0, 1))
    floor = float(np.quantile(shadows, QUANTILE))
    return tuple(tuple(map(float, own)) for own in real.T), floor


def _round(
    distributions: tuple[BaseDistribution, ...], table: npt.NDArray[np.float64], seed: int
) -> tuple[list[float], list[float]]:
    """One forest over the columns and their scrambled copies: the shares of both."""
    rng = np.random.default_rng(seed)
    if len(table) > MOST:
        table = table[np.sort(rng.choice(len(table), MOST, replace=False))]
    values, scores = table[:, :-1], table[:, -1]
    scrambled = rng.permuted(values, axis=0)
    names = [str(number) for number in range(values.shape[1])]
    shadows = [name + SHADOW for name in names]
    space = dict(zip([*names, *shadows], [*distributions, *distributions], strict=True))
    trials = [
        create_trial(params=dict(zip(space, row, strict=True)), distributions=space, value=score)
        for row, score in zip(np.hstack([values, scrambled]).tolist(), scores.tolist(), strict=True)
    ]
    found = _variance_shares(trials, seed) or dict.fromkeys(space, 0.0)
    return [found[name] for name in names], [found[name] for name in shadows]


def _variance_shares(trials: list[optuna.trial.FrozenTrial], seed: int) -> dict[str, float]:
    """Optuna's functional ANOVA of some trials; empty where nothing varies in any tree's sample."""
    shown = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study
    try:
        study = optuna.create_study(direction="maximize")
    finally:
        optuna.logging.set_verbosity(shown)
    study.add_trials(trials)
    evaluator = FanovaImportanceEvaluator(n_trees=TREES, max_depth=DEPTH, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # `normalize` is one
        try:
            return get_param_importances(study, evaluator=evaluator, normalize=False)
        except RuntimeError:
            return {}


def importance_sentence(found: Importance) -> str:
    """Say which quantity matters most and what to do with that; empty without shares.

    Args:
        found: What was measured of a method.
    """
    if not found.shares:
        return ""
    method, first = found.method, found.shares[0]
    idle = text.join([named(share.name, method) for share in found.shares if not share.stands_out])
    nothing = f"cannot be told from a quantity that does nothing in {found.looked_at} trials"
    if not first.stands_out:
        return f"For {method}, {idle} {nothing}."
    whose = method if found.view == "drawn" else f"{method} among its own settings"
    parts = [
        f"{named(first.name, method)} matters most for {whose}, so tune it first: alone it explains "
        f"{text.percent(first.mean, 0)} of the variance of the score (the forests say "
        f"{100.0 * first.low:.0f} to {100.0 * first.high:.0f} %)"
    ]
    others = [share for share in found.shares[1:] if share.stands_out]
    told = [f"{named(s.name, method)} ({text.percent(s.mean, 0)})" for s in others if s.mean >= LITTLE]
    if told:
        parts.append(f"{text.join(told)} {'matter' if len(told) > 1 else 'matters'} too")
    if little := [named(share.name, method) for share in others if share.mean < LITTLE]:
        explain = "explain" if len(little) > 1 else "explains"
        parts.append(f"{text.join(little)} {explain} less than {text.percent(LITTLE, 0)}")
    if idle:
        parts.append(f"{idle} {nothing}")
    return f"{'; '.join(parts)}."
