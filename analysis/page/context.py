"""What the report page says, as plain data for its template: no HTML here, no numbers there."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from operator import attrgetter
from typing import Any

from analysis.caveats import caveats
from analysis.commands import commands
from analysis.merged import merged_rows
from analysis.page import rows as tables
from analysis.page.facts import denominator, fairness, tuned_rows
from analysis.page.links import needs_server, setting_links
from analysis.page.next_steps import next_steps
from analysis.page.notes import front_note, noise_note, references_note
from analysis.recalibration import collapse_notes, recalibration_block
from analysis.recommended import recommended
from analysis.summary import Summary


def context(summary: Summary, reports: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Build the template's context, without the figures.

    Args:
        summary: What `summarise` returned.
        reports: Addresses of the reports of merged sweeps, by name.
    """
    record, metric = summary.record, summary.metric
    links = setting_links(summary)
    listed = [{**row, "link": links.get((row["method"], row["trial"]), "")} for row in commands(summary)]
    anchors = {(row["method"], row["trial"]): row["anchor"] for row in listed}
    choices = recommended(summary)
    taken = {(choice.method, choice.trial) for choice in choices}
    front = tables.front_rows(tables.numbered_front(summary), summary, links)
    return {
        "name": record.name,
        "metric": metric.name,
        "threshold_metric": metric.name.capitalize() if metric.is_share else f"Test {metric.name}",
        "in_percent": ", in percent" if metric.is_share else "",
        "headline": summary.headline,
        "caveats": caveats(summary),
        "denominator": denominator(record.meta),
        "dense": summary.dense,
        "references_note": references_note(summary),
        "recommended": [(goal, list(group)) for goal, group in groupby(choices, attrgetter("goal"))],
        "anchors": anchors,
        "links": links,
        "needs_server": needs_server(record.meta),
        "questions": [tables.question_block(q, summary, anchors) for q in summary.questions],
        "commands": [row for row in listed if (row["method"], row["trial"]) in taken],
        "other_commands": [row for row in listed if (row["method"], row["trial"]) not in taken],
        "next_steps": next_steps(summary),
        "ratios": tables.ratio_rows(summary),
        "ratio_methods": [m for m in summary.methods if m in set(summary.points["method"])],
        "noise_note": noise_note(summary),
        "recalibration": recalibration_block(summary),
        "collapse": collapse_notes(summary),
        "front": front,
        "front_note": front_note(summary),
        "search": tables.search_rows(summary),
        "hypervolume": tables.hypervolume_block(summary),
        "merged": merged_rows(record.meta, reports or {}),
        "fairness": fairness(record, metric),
        "tuned": tuned_rows(record),
        "space_text": record.meta.get("space_text") or "",
    }
