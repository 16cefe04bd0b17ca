"""What a section of the report page is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from analysis.summary import Summary

Block = dict[str, Any]
"""Plain data for a template: texts and lists of them, no HTML."""


def no_figures(summary: Summary, block: Block, narrow: bool) -> Mapping[str, Figure]:
    """Draw nothing."""
    return {}


@dataclass(frozen=True)
class Part:
    """A section of the report page.

    Attributes:
        name: Of its template, ``parts/<name>.html.j2``, which is given ``block`` and ``images``.
        block: What it says; None when this sweep gives it nothing to say, and then it is left out.
        figures: Its figures by name, for wide screens and paper or, narrow, for a phone. The template shows
            one by ``{{ picture(images.<name>, "what is to be seen") }}``.
    """

    name: str
    block: Callable[[Summary], Block | None]
    figures: Callable[[Summary, Block, bool], Mapping[str, Figure]] = no_figures
