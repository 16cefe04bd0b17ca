"""Figure 3b of the paper: ReWA with and without decay and stabiliser, SGD-L1 and SGD on ImageNet.

    python -m benchmarks.figure3b --data IMAGENET                 # folders or beton files; days on one GPU
    python -m benchmarks.figure3b --scale small --data FOLDER     # train/ and val/ of class folders

Every setting of Appendix D.3 is trained with ResNet-50 and pruned to the paper's shares of its weights, 10 to
99.99 %, globally by magnitude. M is not legible in the paper, so each runs with M = 0 and M = 2. The paper's
text has no numbers of this figure, so none stand beside these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator

from analysis.figures import RC, png
from benchmarks.claims import Claim, judge
from benchmarks.command_line import run_command
from benchmarks.image_figures import (
    MARKERS,
    Line,
    accuracy_axis,
    compression_axis,
    draw_curves,
    legend_below,
    shades,
    title,
)
from benchmarks.image_page import caption, header, publish, settings_table, verdicts
from benchmarks.image_points import at_ratio, on_test, points_of
from benchmarks.image_study import ImageStudy, read_options
from benchmarks.provenance import Provenance
from rewa.presets import PRESETS

MODULE = "benchmarks.figure3b"
OUTPUT = "results/figure3b"
NAMES = tuple(name for name in PRESETS if name.startswith("figure3b/"))
CORE = tuple(
    f"figure3b/{name}"
    for name in (
        *("rewa_wd5e-5_eps0_M0", "rewa_wd5e-5_eps1e-4_M0", "rewa_no_wd_eps1e-4_M0"),
        *("rewa_wd5e-5_eps0_M2", "rewa_wd5e-5_eps1e-4_M2", "sgd", "sgd_l1"),
    )
)
"""What the smaller scales run."""
STABILISERS = ("0", "1e-6", "1e-5", "1e-4", "1e-3")
RATIOS = (2, 10, 20, 50, 100, 200, 1000)
"""Compressions of the table: 50, 90, 95, 98, 99, 99.5 and 99.9 % pruned."""
SHARES = {
    1.0: "0",
    2.0: "50",
    5.0: "80",
    10.0: "90",
    20.0: "95",
    100.0: "99",
    1000.0: "99.9",
    10_000.0: "99.99",
}
BASELINES = (
    Line("figure3b/sgd", "SGD, λ=1e-4", "#000000", "D", ":"),
    Line("figure3b/sgd_l1", "SGD-L1, 2e-6", "#D55E00", "s"),
)


def lines_for(M: int) -> tuple[Line, ...]:
    """Return a panel's lines: colours by stabiliser, dashed without decay, then the baselines."""
    colours = shades(len(STABILISERS))
    styles = tuple(zip(STABILISERS, colours, MARKERS, strict=False))
    decayed = [
        Line(f"figure3b/rewa_wd5e-5_eps{e}_M{M}", f"ReWA λ=5e-5, ε={e}", colour, mark)
        for e, colour, mark in styles
    ]
    plain = [
        Line(f"figure3b/rewa_no_wd_eps{e}_M{M}", f"ReWA λ=0, ε={e}", colour, mark, "--")
        for e, colour, mark in styles
    ]
    return (*decayed, *plain, *BASELINES)


def draw(points: pd.DataFrame, chance: float, below: str) -> Figure:
    """Draw accuracy against the pruned share, a panel for each reading of M."""
    with mpl.rc_context(RC):
        figure = Figure(figsize=(11.5, 6.6), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        largest = float(points[points["criterion"] == "ratio"]["value"].max()) if len(points) else 1000.0
        for panel, M in zip(axes, (0, 2), strict=True):
            draw_curves(panel, points, lines_for(M), "ratio")
            compression_axis(panel, largest)
            ticks = [tick for tick in SHARES if tick <= largest]
            panel.xaxis.set_major_locator(FixedLocator(ticks))
            panel.xaxis.set_major_formatter(FixedFormatter([SHARES[tick] for tick in ticks]))
            accuracy_axis(panel, chance)
            panel.set_title(
                f"M = {M}" + (", the released script's K - 1" if M else ", Configuration B"),
                loc="left",
                fontsize=11,
            )
            panel.set_xlabel("weights pruned, % (logarithmic in the weights left)")
            legend_below(panel, lines_for(M), points, columns=2, gap=0.15)
        axes[0].set_ylabel("test accuracy, %")
        title(figure, "Figure 3b: accuracy against the pruned share", points, below)
    return figure


def accuracy_table(points: pd.DataFrame) -> list[dict[str, Any]]:
    """Return, per setting that ran, accuracy in percent at the table's compressions."""
    rows = []
    for preset in points["preset"].unique():
        row: dict[str, Any] = {"preset": preset}
        for ratio in RATIOS:
            value = at_ratio(points, preset, ratio)
            row[f"at_{ratio}x"] = value.mean if value else None
            row[f"at_{ratio}x_std"] = value.std if value else None
        rows.append(row)
    return rows


def accuracy_markdown(rows: Sequence[dict[str, Any]], seeds: int) -> str:
    """Return the table for the page."""
    heads = [f"{100 * (1 - 1 / ratio):g} % ({ratio}x)" for ratio in RATIOS]
    lines = ["| test accuracy (%) pruned | " + " | ".join(heads) + " |", "|---" * (len(RATIOS) + 1) + "|"]
    for row in rows:
        cells = []
        for ratio in RATIOS:
            mean, std = row[f"at_{ratio}x"], row[f"at_{ratio}x_std"]
            cells.append("-" if mean is None else f"{mean:.2f}" + (f" ± {std:.2f}" if seeds > 1 else ""))
        lines.append(f"| {str(row['preset']).partition('/')[2]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def findings(points: pd.DataFrame, chance: float) -> list[Claim]:
    """Judge what the paper says of the figure, as far as settings ran and learnt (above twice chance)."""
    ran = {name for name in NAMES if (dense := at_ratio(points, name, 1)) and dense.mean > 200 * chance}
    found = []
    pairs = [(name, name.replace("wd5e-5", "no_wd")) for name in NAMES if "wd5e-5" in name]
    if pairs := [(decayed, plain) for decayed, plain in pairs if {decayed, plain} <= ran]:
        gaps = [_mean(points, decayed) - _mean(points, plain) for decayed, plain in pairs]
        text = ", ".join(f"{d.partition('_')[2]} {gap:+.1f}" for (d, _), gap in zip(pairs, gaps, strict=True))
        found.append(
            Claim(
                "weight decay substantially improves the trade-off",
                "D.5, Figure 3b",
                judge(gap > 1 for gap in gaps),
                f"with minus without decay, mean accuracy at 90, 95 and 98 % pruned: {text} points",
            )
        )
    rewa = [name for name in NAMES if "/rewa" in name and name in ran]
    others = [name for name in ("figure3b/sgd", "figure3b/sgd_l1") if name in ran]
    if rewa and others:
        best = max(rewa, key=lambda name: _mean(points, name))
        rivals = ", ".join(f"{name.partition('/')[2]} {_mean(points, name):.1f} %" for name in others)
        found.append(
            Claim(
                "ReWA keeps more accuracy than SGD-L1 and SGD as compression rises",
                "4.2, Figure 3b",
                judge(_mean(points, best) > _mean(points, name) for name in others),
                f"mean accuracy at 90, 95 and 98 % pruned: the best ReWA here ({best.partition('/')[2]}) "
                f"{_mean(points, best):.1f} %, {rivals}; the best of {len(rewa)} settings, "
                "picked on the same numbers",
            )
        )
    return found


def _mean(points: pd.DataFrame, preset: str) -> float:
    """Return mean accuracy at 10x, 20x and 50x."""
    own = on_test(points, preset, "ratio")
    return float(own[own["value"].isin([10.0, 20.0, 50.0])]["accuracy_percent"].mean())


def main() -> None:
    """Run what is missing, then write the figure, the table and the findings."""
    options = read_options(MODULE, __doc__, OUTPUT, NAMES, CORE)
    provenance = Provenance(MODULE)
    study = ImageStudy(options)
    runs = study.run("figure3b")
    points = points_of(runs)
    chance = study.workload.metric.chance
    below = caption(options, chance, " ε in the unit of the authors' code.")
    rows = accuracy_table(points)
    claims = verdicts(options, findings(points, chance))
    page = [
        "# Figure 3b: ReWA, SGD-L1 and SGD on ImageNet\n",
        *header(study, provenance, runs),
        "![Figure 3b](figure3b.png)\n",
        f"{below} The paper's text has no numbers of this figure, so none stand beside these.\n",
        accuracy_markdown(rows, len(options.seeds)),
        "",
        claims,
        "",
        settings_table(study, runs),
    ]
    print(claims)
    publish("figure3b", options, provenance, page, png(draw(points, chance, below)), points, rows)


if __name__ == "__main__":
    run_command(MODULE, main)
