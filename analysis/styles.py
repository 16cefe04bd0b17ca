"""How each method looks in every figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

from analysis.tables import order_methods
from rewa.mlflow_view import method_colour


@dataclass(frozen=True)
class Style:
    """How one method looks in every figure."""

    color: str
    marker: str
    dashes: tuple[float, ...] | str = ""


MARKERS = {
    "rewa": "o",
    "rewa_adamw": "v",
    "spred": "^",
    "sgd_l1": "s",
    "lasso": "P",
    "adaptive_lasso": "p",
    "l0_5": "<",
    "l2_3": ">",
    "mcp": "d",
    "scad": "h",
    "magnitude": "D",
    "random": "X",
}
SPARE_MARKERS = ("P", "<", ">", "p", "h")
LONG, MIXED = (5.0, 1.5), (5.0, 1.5, 1.0, 1.5)
DASHES: dict[str, tuple[float, ...]] = {  # solvers; neighbours in colour differ in their dashes
    "lasso": LONG,
    "adaptive_lasso": MIXED,
    "l0_5": LONG,
    "l2_3": MIXED,
    "mcp": LONG,
    "scad": MIXED,
    "random": (2.0, 2.0),
}


def styles(methods: Sequence[str]) -> dict[str, Style]:
    """Give every method its style; colours are those of its runs in the MLflow UI."""
    spare = cycle(SPARE_MARKERS)
    return {
        method: Style(
            method_colour(method),
            MARKERS[method] if method in MARKERS else next(spare),
            DASHES.get(method, ""),
        )
        for method in order_methods(methods)
    }
