"""What the report's figures share: their look, their legend, and how they become bytes of a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.figure import Figure

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "axes.edgecolor": "#666666",
    "axes.linewidth": 0.8,
    "grid.color": "#e2e2e2",
    "grid.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
}


def legend_below(figure: Figure, handles: Sequence[Artist], labels: Sequence[str], most: int) -> None:
    """Put a legend below the axes, in as many columns as the figure's width holds.

    Args:
        figure: With constrained layout.
        handles: What stands for each label.
        labels: Their names; nothing is drawn for none.
        most: The most columns there may be.
    """
    if not labels:
        return
    width = figure.bbox.width
    for columns in range(most, 0, -1):
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
        if columns == 1 or legend.get_window_extent().width <= width:
            return
        legend.remove()


def png(figure: Figure, dpi: int = 160) -> bytes:
    """Render a figure as PNG, without metadata that changes from run to run."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def data_uri(image: bytes) -> str:
    """A PNG as a data URI, so that the page needs no other file."""
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")
