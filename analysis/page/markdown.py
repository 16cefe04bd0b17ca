"""The report in short, as GitHub-flavoured Markdown to paste into a pull request."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import jinja2

from analysis.caveats import caveats
from analysis.commands import commands
from analysis.page.facts import fairness
from analysis.page.next_steps import next_steps
from analysis.recommended import recommended
from analysis.summary import Summary

TEMPLATE = "report.md.j2"
FACTS = ("Trials per method", "Confirmation seeds", "Budget", "Splits", "Selection", "Commit")
"""The facts of the fairness box that a short report cannot leave out."""


def markdown(summary: Summary) -> str:
    """Render report.md: the sentences, caveats, the table of recommended settings, facts, commands."""
    record, choices = summary.record, recommended(summary)
    taken = {(choice.method, choice.trial) for choice in choices}
    facts = fairness(record, summary.metric)
    lines = [command for _, command in next_steps(summary)]
    lines += [row["command"] for row in commands(summary) if (row["method"], row["trial"]) in taken]
    if lines and record.meta.get("command"):
        lines.insert(0, str(record.meta["command"]))
    return (
        _environment()
        .get_template(TEMPLATE)
        .render(
            name=record.name,
            metric=summary.metric.name,
            unit=" %" if summary.metric.is_share else "",
            headline=summary.headline,
            caveats=caveats(summary),
            dense=summary.dense,
            dense_text="" if summary.dense is None else summary.words.value(summary.dense.test),
            choices=choices,
            facts=[(label, value) for label, value in facts if label in FACTS],
            commands=lines,
            fence="`" * max(3, 1 + _longest_run("\n".join(lines))),
        )
    )


@cache
def _environment() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    found.filters |= {"escaped": escaped, "code": code}
    return found


def escaped(value: object) -> str:
    """Write a text such that Markdown shows it as it is, on one line."""
    flat = " ".join(str(value).split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    flat = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", flat)
    return re.sub(r"^(\d*)([-+.)])(?=\s)", r"\1\\\2", flat)


def code(value: object) -> str:
    """Write a text as a code span that may stand in a table."""
    flat = " ".join(str(value).split())
    fence = "`" * (_longest_run(flat) + 1)
    pad = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{pad}{flat}{pad}{fence}".replace("|", "\\|")


def _longest_run(value: str) -> int:
    """Length of the longest run of backticks: what a fence around it must exceed."""
    return max((len(run) for run in re.findall(r"`+", value)), default=0)
