"""The calibration as a picture: what every trial reached against its knob, the curve, and the targets."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from analysis import figures
from analysis.calibration.fit import Calibration
from analysis.calibration.reached import FITTED
from analysis.calibration.wording import number
from analysis.styles import styles


def calibration_figure(calibration: Calibration) -> Figure:
    """Draw it; compression is logarithmic, and so is the knob where it is positive."""
    summary, table = calibration.summary, calibration.table
    style = styles([calibration.method])[calibration.method]
    fitted = calibration.fitted
    confirmed = summary.settings[summary.settings["phase"] == "confirm"]["trial"]
    with mpl.rc_context(figures.RC):
        figure = Figure(figsize=(8.6, 5.0), layout="constrained")
        axes = figure.subplots()
        axes.set_yscale("log")
        if calibration.log or bool((fitted[calibration.by].astype(float) > 0).all()):
            axes.set_xscale("log")
        knob, reached = fitted[calibration.by].astype(float), fitted["reached"].astype(float)
        axes.scatter(
            knob, reached, s=34, color=style.color, marker=style.marker, label="a trial of the search"
        )
        ringed = fitted[fitted["trial"].isin(confirmed)]
        if len(ringed):
            axes.scatter(
                ringed[calibration.by].astype(float),
                ringed["reached"].astype(float),
                s=130,
                facecolors="none",
                edgecolors="black",
                linewidths=1.2,
                label="confirmed on fresh seeds",
            )
        bad = table[(table["state"] != FITTED) & table[calibration.by].notna()]
        if len(bad):
            floor = np.full(len(bad), 1.0)
            axes.scatter(
                bad[calibration.by].astype(float),
                floor,
                s=40,
                color="#555555",
                marker="x",
                label="diverged or at chance",
            )
        if calibration.curve is not None:
            curve = calibration.curve
            x = 10.0**curve.x if calibration.log else curve.x
            axes.plot(x, 10.0**curve.y, color="#666666", linewidth=1.4, label="monotone curve through them")
        labelled = False
        for one in (found for found in calibration.placed if not found.reason):
            name = None if labelled else "value for a target, 95 % interval"
            axes.plot([one.low, one.high], [one.target] * 2, color="black", linewidth=3.0, label=name)
            axes.plot([one.value], [one.target], color="black", marker="|", markersize=14, mew=3.0)
            axes.annotate(
                f"{one.target:g}x: {number(one.value)}",
                (max(one.high, one.value), one.target),
                xytext=(8, -8),
                textcoords="offset points",
                va="center",
                color="black",
                fontsize=9,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
            )
            labelled = True
        for axis in (axes.yaxis, axes.xaxis):
            if (axes.get_yscale() if axis is axes.yaxis else axes.get_xscale()) == "log":
                axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
                axis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel(_axis(calibration))
        unit = (
            "% of the range"
            if not summary.metric.is_share
            else "point"
            if calibration.within == 1
            else "points"
        )
        axes.set_ylabel(f"compression within {calibration.within:g} {unit} of unpruned")
        axes.set_title(
            f"{summary.record.name}: how sparse {calibration.method} becomes (rank correlation "
            f"{calibration.own.rho:.2f})",
            fontsize=11,
        )
        handles, labels = axes.get_legend_handles_labels()
        figures.legend_below(figure, handles, labels, 3)
    return figure


def _axis(calibration: Calibration) -> str:
    """The knob, and what it is where it is no setting."""
    if calibration.by == calibration.knobs.budget:
        return f"{calibration.by}: what {calibration.knobs.penalty} comes to over a whole training"
    return calibration.by
