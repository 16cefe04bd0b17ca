"""Everything the report is made of, computed once from the tables of a sweep."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis.chosen import in_use
from analysis.headline import headline
from analysis.merged import merged_sentences
from analysis.pareto import Dense, best_attained, dense_reference, mean_frontier
from analysis.questions import Question, answers, questions
from analysis.tables import SweepRecord, all_methods, headline_ratios, metric_of, section
from analysis.wording import Wording
from rewa.metric import ACCURACY, Metric


@dataclass(frozen=True)
class Summary:
    """What the page, the figures and pareto.csv share.

    Attributes:
        record: The sweep.
        metric: What is measured.
        ratios: The compressions the report asks about.
        methods: Every method of the sweep in display order.
        recalibrated: Whether the numbers below are after batch-norm recalibration: where the sweep's
            objective says so and the models have batch norm.
        raw: What `mean_frontier` returned for ratios, as pruned.
        renewed: The same after batch-norm recalibration; empty without it.
        settings: The one of the two that everything is chosen and compared on.
        points: What `best_attained` returned.
        dense: The dense reference.
        answers: What `answers` returned.
    """

    record: SweepRecord
    metric: Metric
    ratios: tuple[float, ...]
    methods: list[str]
    recalibrated: bool
    raw: pd.DataFrame
    renewed: pd.DataFrame
    settings: pd.DataFrame
    points: pd.DataFrame
    dense: Dense | None
    answers: pd.DataFrame

    @property
    def words(self) -> Wording:
        """How the metric is written."""
        return Wording(self.metric)

    @property
    def questions(self) -> tuple[Question, ...]:
        """What is asked."""
        return questions(self.metric, self.ratios)

    @property
    def test_size(self) -> int | None:
        """Number of test examples; None when unknown or when the metric is no share of examples."""
        size = section(self.record.meta, "workload").get("test_size")
        return int(size) if size and self.metric.name == ACCURACY.name else None

    @property
    def headline(self) -> list[str]:
        """The first sentences."""
        sentences = headline(
            self.points,
            self.metric,
            ratios=self.ratios,
            dense=self.dense,
            test_size=self.test_size,
        )
        if self.recalibrated:
            sentences.append("All these values are after batch-norm recalibration of the pruned models.")
        return sentences + merged_sentences(self.record.meta)


def summarise(record: SweepRecord) -> Summary:
    """Compute what the page, the figures and pareto.csv share."""
    metric, ratios = metric_of(record.meta), headline_ratios(record.meta)
    methods = all_methods(record)
    frontier = in_use(record.frontier, record.meta)
    raw = mean_frontier(frontier, record.config_columns, metric)
    renewed = mean_frontier(frontier, record.config_columns, metric, recalibrated=True)
    recalibrated = bool(section(record.meta, "objective").get("recalibrated")) and not renewed.empty
    settings = renewed if recalibrated else raw
    return Summary(
        record=record,
        metric=metric,
        ratios=ratios,
        methods=methods,
        recalibrated=recalibrated,
        raw=raw,
        renewed=renewed,
        settings=settings,
        points=best_attained(settings, metric),
        dense=dense_reference(settings, metric),
        answers=answers(settings, methods, metric, ratios),
    )
