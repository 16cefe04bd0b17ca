"""The report page as HTML: its template filled with texts, pictures and the interactive figure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from analysis import figures
from analysis.page.context import context
from analysis.page.curves import Curves
from analysis.page.frontier_figure import frontier_figure
from analysis.page.interactive import frontier_item, library
from analysis.page.parts import PARTS, Part
from analysis.summary import Summary

TEMPLATE = "report.html.j2"
PART_DPI = 130


def render(
    summary: Summary, curves: Curves, frontier_png: bytes, reports: Mapping[str, str] | None = None
) -> str:
    """Render the page.

    Args:
        summary: What `summarise` returned.
        curves: What the frontier figures draw.
        frontier_png: The static one for wide screens and paper.
        reports: Addresses of the reports of merged sweeps, by name.
    """
    narrow = figures.png(frontier_figure(curves, narrow=True))
    found = context(summary, reports)
    return (
        environment()
        .get_template(TEMPLATE)
        .render(
            **found,
            frontier={"wide": figures.data_uri(frontier_png), "narrow": figures.data_uri(narrow)},
            frontier_item=Markup(frontier_item(curves, summary, found["links"])),
            library=Markup(library()),
            parts=[made for part in PARTS if (made := _rendered(part, summary))],
        )
    )


@cache
def environment() -> jinja2.Environment:
    """The templates of the page; texts are escaped, and a name that is not given is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters["in_words"] = in_words
    return made


def in_words(command: str) -> Markup:
    """Return a command with its words in spans: a browser breaks lines at their hyphens otherwise.

    An option and what follows it are one word; the text itself stays as it was, to be copied.
    """
    parts = re.findall(r"\s+|--\S+(?: (?!-)\S+)?|\S+", command)
    return Markup("").join(
        part if part.isspace() else Markup('<span class="w">{}</span>').format(part) for part in parts
    )


def _rendered(part: Part, summary: Summary) -> dict[str, Any] | None:
    """A section's HTML, with its title for the table of contents; None where it says nothing."""
    block = part.block(summary)
    if block is None:
        return None
    wide, narrow = (part.figures(summary, block, is_narrow) for is_narrow in (False, True))
    images = {
        name: {
            "wide": figures.data_uri(figures.png(figure, dpi=PART_DPI)),
            "narrow": figures.data_uri(figures.png(narrow[name], dpi=PART_DPI)),
        }
        for name, figure in wide.items()
    }
    html = environment().get_template(f"parts/{part.name}.html.j2").render(block=block, images=images)
    title = re.search(r"<h2[^>]*>(.*?)</h2>", html, flags=re.DOTALL)
    label = Markup(title.group(1)).striptags() if title else part.name
    return {"name": part.name, "title": label, "html": Markup(html)}
