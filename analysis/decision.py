"""Which setting to use, and what it gives: one question, every method's answer, and the one to take.

Every method's answer is the report's (`analysis.questions`). The one to take is the best of them on the
validation split, over all methods. How the methods rank on test is reported beside it, as in the report; it
decides nothing, or the test number of the setting taken would be the best of several and so too good.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis import text
from analysis.caveats import searched
from analysis.chosen import in_use
from analysis.merged import merged_sweeps
from analysis.pareto import best_first
from analysis.questions import Question, answer
from analysis.summary import Summary
from analysis.tables import SweepRecord
from rewa.errors import UserError


@dataclass(frozen=True)
class Decision:
    """One question and what it comes to.

    Attributes:
        summary: The sweep.
        question: What was asked; its ratio is a target that was measured.
        asked: The compression that was asked for, where it is not that target.
        answers: Rows of the summary's settings, one per method that can, best on validation first (for a
            loss: most compression first, then best on validation). The first is the one to take.
        unable: The methods that cannot, in display order.
        nearest: Where no method can, the setting that comes nearest, as one row; else empty.
    """

    summary: Summary
    question: Question
    asked: float | None
    answers: pd.DataFrame
    unable: tuple[str, ...]
    nearest: pd.DataFrame

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that were asked."""
        return (*self.answers["method"], *self.unable)


def decide(
    summary: Summary,
    *,
    compression: float | None = None,
    max_drop: float | None = None,
    method: str | None = None,
) -> Decision:
    """Answer one question; exactly one of `compression` and `max_drop` is given.

    Args:
        summary: The sweep.
        compression: Compression of the prunable weights at which the best metric is wanted. One that was not
            measured is answered by the next larger target that was.
        max_drop: Loss for which the most compression is wanted: of a share in percentage points against
            dense, of another metric in its own unit against the best that any setting attains on validation.
        method: Ask this method only; default all.

    Raises:
        UserError: If the number is out of range, no target is that large, or the sweep has no such method.
    """
    if method is not None and method not in summary.methods:
        raise UserError(
            f"--method {method}: the sweep {summary.record.name!r} has {text.join(summary.methods)}"
        )
    asked = None
    if compression is not None:
        target = measured_target(summary, compression)
        asked = None if target == compression else compression
        name = summary.metric.name
        question = Question(f"{name}@{target:g}x", f"{summary.words.best} at {target:g}x", ratio=target)
    else:
        assert max_drop is not None
        question = loss_question(summary, max_drop)
    own = [name for name in summary.methods if method in (None, name)]
    found = answer(question, summary.settings, summary.metric, summary.dense)
    answers = found[found["method"].isin(own)].reset_index(drop=True)
    nearest = summary.settings.iloc[:0]
    if answers.empty:
        nearest = best_first(summary.settings[summary.settings["method"].isin(own)], summary.metric).head(1)
    unable = tuple(name for name in own if name not in set(answers["method"]))
    return Decision(summary, question, asked, answers, unable, nearest)


def measured_target(summary: Summary, compression: float) -> float:
    """The smallest measured target ratio that is at least a compression.

    Raises:
        UserError: If the compression is below 1, or none is that large.
    """
    if not compression >= 1.0:
        raise UserError(f"--compression {compression:g}: must be at least 1, which is no compression")
    targets = sorted(float(value) for value in summary.settings["value"].unique())
    if not targets:
        raise UserError(f"no training of the sweep {summary.record.name!r} has completed with a frontier")
    enough = [target for target in targets if target >= compression]
    if not enough:
        listed = text.join([f"{target:g}x" for target in targets])
        raise UserError(f"--compression {compression:g}: was not measured; the targets are {listed}")
    return enough[0]


def loss_question(summary: Summary, loss: float) -> Question:
    """The question for the most compression within a loss; see `decide` for its unit.

    Raises:
        UserError: If the loss is negative or not finite.
    """
    metric = summary.metric
    if not 0.0 <= loss < float("inf"):
        raise UserError(f"--max-drop {loss:g}: must be a number of at least 0")
    if metric.is_share:
        noun = "point" if loss == 1.0 else "points"
        title = f"Most compression within {loss:g} {noun} of dense"
        return Question(f"compression@drop{loss}", title, drop=loss)
    share = loss / metric.gain(metric.ideal, metric.chance)
    title = f"Most compression within {loss:g} of the best validation {metric.name} attained"
    return Question(f"compression@excess{share:g}", title, excess=share)


def unfinished(record: SweepRecord) -> str:
    """Say what a sweep still lacks; empty where it is finished, hand-made or merged."""
    planned, methods = record.meta.get("trials_per_method"), record.meta.get("methods")
    if merged_sweeps(record.meta) or not planned or not methods:
        return ""
    done = searched(record.runs)
    wanted = int(planned) * len(methods)
    if len(done) < wanted:
        return f"The sweep is not finished: {len(done)} of {wanted} trials of the search are there."
    most = len(methods) * int(record.meta.get("confirm_settings") or 0)
    most *= len(record.meta.get("confirm_seeds") or ())
    confirmed = in_use(record.runs, record.meta)
    count = int((confirmed["phase"] == "confirm").sum())
    if record.meta.get("confirmed") or count >= most:
        return ""
    return f"The sweep is not finished: {count} of at most {most} trainings of the confirmation are there."
