"""A calibration in sentences, for `rewa calibrate`."""

from __future__ import annotations

from analysis import text
from analysis.calibration.fit import Calibration, Placed
from analysis.calibration.reached import FITTED
from analysis.calibration.settings import NEAR, Setting, Suggestion
from analysis.decision import unfinished
from analysis.decision_text import reached


def sentences(calibration: Calibration) -> list[str]:
    """What value reached what, and which quantity tells most."""
    if calibration.reason:
        return [
            f"No {calibration.by} can be told for {calibration.method}: {calibration.reason}.",
            *_knobs(calibration),
        ]
    given = [one for one in calibration.placed if not one.reason]
    if given:
        first = given[0]
        told = [f"{number(first.value)} ({interval(first)}) reached {target(first.target)}"]
        told += [f"{number(one.value)} reached {target(one.target)}" for one in given[1:]]
        start = f"{calibration.method}: {calibration.by} {text.join(told)}, within {loss(calibration)}."
        scatter = (
            f"That is a curve through {len(calibration.fitted)} trainings; half of them lie within a factor "
            f"{calibration.scatter:.2f} of it in compression. The interval is the curve's (bootstrap over "
            "the trials), not that of one training."
        )
        return [start, scatter, *_knobs(calibration)]
    reasons = text.join([f"{one.target:g}x ({one.reason})" for one in calibration.placed])
    return [f"No {calibration.by} of {calibration.method} is known for {reasons}.", *_knobs(calibration)]


def notes(calibration: Calibration) -> list[str]:
    """What was not fitted, and what else qualifies the numbers."""
    table, found = calibration.table, []
    left = table[table["state"] != FITTED]["state"].value_counts()
    if len(left):
        found.append(f"Not fitted: {text.join([f'{count} {state}' for state, count in left.items()])}.")
    if count := int(calibration.fitted["at_least"].astype(bool).sum()):
        largest = calibration.fitted["reached"].max()
        noun = "training is" if count == 1 else "trainings are"
        found.append(
            f"{count} {noun} still within at {largest:g}x, the largest target: taken as {largest:g}x."
        )
    for one in calibration.placed:
        if one.reason and any(not other.reason for other in calibration.placed):
            found.append(f"{one.target:g}x: {one.reason}.")
    if calibration.summary.recalibrated:
        found.append("All values are after batch-norm recalibration of the pruned models.")
    if told := unfinished(calibration.summary.record):
        found.append(told)
    return found


def trained(calibration: Calibration, placed: Placed, setting: Setting) -> str:
    """What the trained setting for a target is, and what it reaches on test."""
    wide = f"{placed.target / NEAR:g}x to {placed.target * NEAR:g}x"
    if setting.near > 1:
        why = f"the best on validation of {setting.near} trials that reached {wide}"
    elif setting.near:
        why = f"the only trial that reached {wide}"
    else:
        why = f"no trial reached {wide}; it reached {setting.reached:.3g}x, which is nearest"
    at = f"at {float(setting.row['value']):g}x"
    return (
        f"For {placed.target:g}x, trained: {setting.trial} ({calibration.by} {number(setting.knob)}), {why}: "
        f"{at} {reached(setting.row, calibration.summary)}."
    )


def untrained(calibration: Calibration, placed: Placed, setting: Setting, found: Suggestion) -> str:
    """What would have the calibrated value."""
    value = f"{calibration.by} {number(placed.value)}"
    comes = "" if found.changed == calibration.by else f", which is {value} with its other settings"
    return (
        f"Not trained yet, so without a test number: {setting.trial} with {found.changed} "
        f"{number(found.value)} instead{comes}."
    )


def target(compression: float) -> str:
    """Write ``10x (90 % sparsity)``."""
    return f"{compression:g}x ({sparsity(compression)} sparsity)"


def sparsity(compression: float) -> str:
    """Write a compression as the share of weights that are zero: ``90 %``, ``99.9 %``."""
    return f"{100.0 - 100.0 / compression:.4g} %"


def interval(placed: Placed) -> str:
    """Write ``95 % interval 2.8 to 3.7``, an open end as such."""
    return f"95 % interval {bounds(placed)}"


def bounds(placed: Placed) -> str:
    """Write ``2.8 to 3.7``, ``below 1.2`` or ``above 9``."""
    if placed.open_low:
        return f"below {number(placed.high)}"
    if placed.open_high:
        return f"above {number(placed.low)}"
    return f"{number(placed.low)} to {number(placed.high)}"


def loss(calibration: Calibration) -> str:
    """Write what counts as lossless: ``1 point of the trial's own unpruned accuracy``."""
    metric, within = calibration.summary.metric, calibration.within
    if metric.is_share:
        return (
            f"{within:g} {'point' if within == 1.0 else 'points'} of each trial's own unpruned {metric.name}"
        )
    return (
        f"{within:g} % of the way from {calibration.summary.words.no_skill} to the "
        f"{calibration.summary.words.limit} of each trial's own unpruned {metric.name}"
    )


def number(value: float) -> str:
    """Write a knob's value with three digits."""
    return f"{value:.3g}"


def _knobs(calibration: Calibration) -> list[str]:
    """Which quantities order the trials, and whether another tells more than the one asked for."""
    if not calibration.correlations:
        return []
    wanted = {calibration.by, calibration.knobs.penalty, calibration.knobs.budget}
    named = [one for one in calibration.correlations if one.knob in wanted]
    listed = text.join([f"{one.knob} {one.rho:.2f}" for one in named])
    told = f"Rank correlation with what was reached: {listed}"
    best = calibration.correlations[0]
    if best.knob not in wanted and best.tells and abs(best.rho) - abs(named[0].rho) > 0.005:
        told += f"; of all quantities {best.knob} tells most ({best.rho:.2f})"
    elif best.tells and abs(best.rho) - abs(calibration.own.rho) > 0.005:
        told += f"; {best.knob} tells more: --by {best.knob}"
    return [f"{told} (1: it orders the trials perfectly, 0: it tells nothing)."]
