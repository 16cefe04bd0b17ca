"""The explaining sentences of the page: what its tables, marks and lines mean for the metric at hand."""

from __future__ import annotations

import math

from analysis import text
from analysis.noise import sampling_error
from analysis.questions import Question, allowed, attained
from analysis.summary import Summary
from analysis.tables import is_solver


def excess_note(question: Question, summary: Summary) -> str:
    """Say in plain numbers what a question about an excess allows; empty for the others."""
    best = attained(summary.settings, summary.metric)
    bound = allowed(question, summary.metric, None, best)
    if question.excess is None or best is None or bound is None:
        return ""
    words, metric = summary.words, summary.metric
    limit, sign = ("at most", "plus") if metric.direction == "min" else ("at least", "minus")
    floor, chance = words.reference(metric.ideal), words.reference(metric.chance)
    return (
        f"Validation {metric.name} {limit} {words.value(bound)}: the best that any setting of any method "
        f"attains ({words.value(best)}) {sign} {100.0 * question.excess:g} % of the way from the "
        f"{words.limit} ({floor}) to {words.no_skill} ({chance})."
    )


def references_note(summary: Summary) -> str:
    """Say what the figure's thin lines are, for a metric that has some."""
    if summary.metric.is_share:
        return ""
    words, metric = summary.words, summary.metric
    return (
        f"Thin lines: {words.no_skill} ({words.reference(metric.chance)}) and the {words.limit} "
        f"({words.reference(metric.ideal)}), both in expectation: on a finite split values vary around them. "
        f"{words.comparative.capitalize()} is better."
    )


def noise_note(summary: Summary) -> str:
    """Say what the marks in the table mean, and what the test split itself leaves open."""
    share = summary.metric.is_share
    top = "highest" if summary.metric.direction == "max" else "lowest"
    note = (
        f"Mean \u00b1 standard deviation over seeds{', in percent' if share else ''}. Bold: {top} mean. "
        f"\u2248: the seeds do not separate it from the {top} (the 95 % Welch interval of the difference "
        "holds zero, or there are too few seeds for one). Each comparison stands alone, "
        "uncorrected for their number."
    )
    solvers = [method for method in summary.methods if is_solver(method)]
    if len(solvers) > 1:
        note += (
            f" {text.join(solvers)} solve directly. What is the same at every seed has no \u00b1, and "
            "two such values no \u2248: their difference is no seed noise."
        )
    if share and summary.test_size and summary.dense and not math.isnan(summary.dense.test):
        error = sampling_error(summary.dense.test, summary.test_size)
        note += (
            f" The test split has {text.number(summary.test_size)} examples, so an accuracy near "
            f"{text.percent(summary.dense.test)} carries another \u00b1{text.points(error)} points "
            "of sampling error (95 %, binomial), shared in part by all methods."
        )
    return note


def front_note(summary: Summary) -> str:
    """Say what the front is."""
    words, metric = summary.words, summary.metric
    note = (
        f"No setting of any method has more compression at the same or a {words.comparative} validation "
        f"{metric.name}, or the reverse."
    )
    if not metric.is_share:
        note += f" Points that do not beat {words.no_skill} are left out."
    return note


def hypervolume_note(summary: Summary, cap: float) -> str:
    """Say what area it is."""
    words, metric = summary.words, summary.metric
    if metric.is_share:
        return (
            f"Area dominated in (log10 compression, test {metric.name}) above the reference {metric.name}, "
            f"from 1x to {cap:g}x, as a share of the whole box: 1 is perfect."
        )
    return (
        f"Area between the frontier, in (log10 compression, test {metric.name}), and the reference "
        f"{metric.name}, from 1x to {cap:g}x, as a share of the whole box: 1 is the {words.limit} "
        "everywhere; better than that counts as that."
    )
