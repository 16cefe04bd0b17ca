"""Figure 3a of the paper: ReWA, its ablations, SGD-L1 and Spred with ResNet-18 on CIFAR-10.

    python -m benchmarks.figure3a
    python -m benchmarks.figure3a --scale small --data FOLDER    # train/ and test/ of class folders

Every setting of Appendix D.2 is trained as it stands there, and drawn as the paper draws it, by absolute
thresholds, beside the authors' published curves; then by target ratio, where methods with different weight
scales compare fairly. Finished runs are kept: the same command goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import RC, png
from benchmarks.command_line import run_command
from benchmarks.figure3a_claims import findings
from benchmarks.image_figures import (
    MARKERS,
    OKABE_ITO,
    Line,
    accuracy_axis,
    compression_axis,
    dashed,
    draw_curves,
    draw_reference,
    legend_below,
    shades,
    title,
)
from benchmarks.image_page import caption, header, publish, settings_table, verdicts
from benchmarks.image_points import at_ratio, authors, best_at, points_of
from benchmarks.image_study import ImageStudy, read_options
from benchmarks.provenance import Provenance
from rewa.presets import COEFFICIENTS, PRESETS

MODULE = "benchmarks.figure3a"
OUTPUT = "results/figure3a"
NAMES = tuple(name for name in PRESETS if name.startswith("figure3a/"))
CORE = tuple(
    f"figure3a/{name}"
    for name in (
        "rewa",
        "rewa_no_M_eps",
        "rewa_no_wd",
        "sgd_l1_1e-5",
        "sgd_l1_1e-4",
        "spred_balanced_1e-4",
        "dense",
    )
)
"""What the smaller scales run."""
LEAST = (5, 10, 20, 33, 50, 100, 150)
"""Compressions of the table."""
LARGEST = 2000.0
"""Right end of the axes: beyond, the paper's curves are at chance."""


def _grid(kind: str, label: str) -> tuple[Line, ...]:
    """Return the lines of a baseline over its coefficients, and full ReWA to compare."""
    colours = shades(len(COEFFICIENTS))
    grid = tuple(
        Line(f"figure3a/{kind}_{text}", f"{label} = {text}", colour, marker)
        for text, colour, marker in zip(
            ("1e-5", "3e-5", "1e-4", "3e-4", "1e-3"), colours, MARKERS[1:], strict=False
        )
    )
    return (*grid, Line("figure3a/rewa", "ReWA K=9 M=2", OKABE_ITO[0], MARKERS[0]))


REWA_LINES = (
    Line("figure3a/rewa", "ReWA K=9 M=2 (full)", OKABE_ITO[0], "o"),
    Line("figure3a/rewa_no_M_eps", "w/o M and ε (decay only)", OKABE_ITO[1], "s"),
    Line("figure3a/rewa_eps", "w/ ε, M=0", OKABE_ITO[2], "^"),
    Line("figure3a/rewa_eps_wd1e-5", "w/ ε, M=0, λ=1e-5", OKABE_ITO[3], "D"),
    Line("figure3a/rewa_no_wd_M_eps", "w/o decay, M and ε", OKABE_ITO[4], "v"),
    Line("figure3a/rewa_no_wd", "w/o decay, M=2", OKABE_ITO[5], "P"),
    Line("figure3a/rewa_K2.25_M1.25", "K=2.25 M=1.25 (same p)", OKABE_ITO[6], "X"),
    Line("figure3a/dense", "dense SGD, pruned", "#000000", "<", ":"),
)
COLUMNS: tuple[tuple[str, tuple[Line, ...]], ...] = (
    ("ReWA and its ablations", REWA_LINES),
    ("SGD-L1", _grid("sgd_l1", "coefficient")),
    ("Spred, balanced start", _grid("spred_balanced", "λ")),
    ("Spred, original start", _grid("spred_original", "λ")),
)


def draw(points: pd.DataFrame, reference: pd.DataFrame, chance: float, below: str) -> Figure:
    """Draw thresholds, target ratios, and those recalibrated; a column per family of settings that ran."""
    ran = set(points["preset"])
    columns = [
        (name, lines)
        for name, lines in COLUMNS
        if any(x.preset in ran for x in lines if not _shared(name, x))
    ] or COLUMNS[:1]
    with mpl.rc_context(RC):
        figure = Figure(figsize=(max(7.5, 3.9 * len(columns)), 11.8), layout="constrained")
        axes = figure.subplots(3, len(columns), squeeze=False, sharey=True)
        for (name, lines), panels in zip(columns, axes.T, strict=True):
            top, middle, bottom = panels
            draw_curves(top, points, lines, "threshold")
            published = _draw_published(top, reference, lines)
            draw_curves(middle, points, lines, "ratio")
            draw_curves(bottom, points, lines, "ratio", recalibrated=True)
            for panel in panels:
                compression_axis(panel, LARGEST if panel is top else 1000.0)
                accuracy_axis(panel, chance)
                panel.set_xlabel("target compression, by global top-k")
            top.set_title(name, loc="left", fontsize=11)
            top.set_xlabel("compression, by absolute threshold")
            legend_below(bottom, lines, points, published)
        axes[0, 0].set_ylabel("as in the paper\ntest accuracy, %")
        axes[1, 0].set_ylabel("the fair axis\ntest accuracy, %")
        axes[2, 0].set_ylabel("batch norm recalibrated\ntest accuracy, %")
        title(figure, "Figure 3a: accuracy against compression", points, below)
    return figure


def _shared(column: str, line: Line) -> bool:
    """Return whether a line stands in a column for comparison only."""
    return line.preset == "figure3a/rewa" and not column.startswith("ReWA")


def _draw_published(
    axes: mpl.axes.Axes, reference: pd.DataFrame, lines: Sequence[Line]
) -> list[mpl.lines.Line2D]:
    """Draw the authors' curves of the settings in a column; return their legend entry."""
    drawn = False
    for preset, table in reference.groupby("preset", sort=False):
        own = [line for line in lines if line.preset == _drawn_as(str(preset), lines)]
        if own:
            draw_reference(axes, table, own[0].color)
            drawn = True
    return [dashed("dashed, same colour, top:\nthe authors' curve (one seed)")] if drawn else []


def _drawn_as(preset: str, lines: Sequence[Line]) -> str:
    """Return the preset whose line a published curve goes with; both starts of Spred show Spred's."""
    balanced = preset.replace("spred_original", "spred_balanced")
    return balanced if any(line.preset == balanced for line in lines) else preset


def best_table(points: pd.DataFrame, reference: pd.DataFrame) -> list[dict[str, object]]:
    """Return, per setting that ran, the best accuracy at compression >= X, here and in the authors' curve."""
    rows: list[dict[str, object]] = []
    for preset in points["preset"].unique():
        theirs = _drawn_as(preset, ()).replace("spred_balanced", "spred_original")
        row: dict[str, object] = {"preset": preset}
        for least in LEAST:
            ours, published = best_at(points, preset, least), best_at(reference, theirs, least)
            row[f"at_{least}x"] = None if ours is None else ours.mean
            row[f"at_{least}x_std"] = None if ours is None else ours.std
            row[f"authors_at_{least}x"] = None if published is None else published.mean
        rows.append(row)
    return rows


def best_markdown(rows: Sequence[dict[str, object]], seeds: int) -> str:
    """Return the table: ours, and the authors' in brackets where they published the setting."""
    lines = [
        "| best test accuracy (%) at compression >= | " + " | ".join(f"{least}x" for least in LEAST) + " |",
        "|---" * (len(LEAST) + 1) + "|",
    ]
    for row in rows:
        cells = []
        for least in LEAST:
            ours, std, theirs = (row[k.format(least)] for k in ("at_{}x", "at_{}x_std", "authors_at_{}x"))
            text = "-" if ours is None else f"{ours:.2f}" + (f" ± {std:.2f}" if seeds > 1 else "")
            cells.append(text if theirs is None else f"{text} ({theirs:.2f})")
        lines.append(f"| {str(row['preset']).partition('/')[2]} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "In brackets: the authors' curve, one seed. The best over thresholds is picked by test accuracy, as "
        "when it is read off the figure; -: no threshold leaves so few weights.",
    ]
    return "\n".join(lines)


def ratio_markdown(points: pd.DataFrame) -> str:
    """Return test accuracy at target ratios, as pruned and with batch-norm statistics recomputed after."""
    lines = [
        "| test accuracy (%) at target, pruned / recalibrated | "
        + " | ".join(f"{least}x" for least in (1, *LEAST))
        + " |",
        "|---" * (len(LEAST) + 2) + "|",
    ]
    for preset in points["preset"].unique():
        pairs = [(at_ratio(points, preset, r), at_ratio(points, preset, r, True)) for r in (1, *LEAST)]
        cells = [f"{raw or '-'} / {renewed or '-'}" for raw, renewed in pairs]
        lines.append(f"| {str(preset).partition('/')[2]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, then write the figure, the tables and the findings."""
    options = read_options(MODULE, __doc__, OUTPUT, NAMES, CORE)
    provenance = Provenance(MODULE)
    study = ImageStudy(options)
    runs = study.run("figure3a")
    points, reference = points_of(runs), authors()
    reference = reference[reference["preset"].str.startswith("figure3a/")]
    chance = study.workload.metric.chance
    below = caption(options, chance)
    rows = best_table(points, reference)
    claims = verdicts(options, findings(points, chance))
    page = [
        "# Figure 3a: ReWA, SGD-L1 and Spred on CIFAR-10\n",
        *header(study, provenance, runs),
        "![Figure 3a](figure3a.png)\n",
        f"{below}\n",
        best_markdown(rows, len(options.seeds)),
        "",
        ratio_markdown(points),
        "",
        claims,
        "",
        settings_table(study, runs),
    ]
    print(claims)
    publish("figure3a", options, provenance, page, png(draw(points, reference, chance, below)), points, rows)


if __name__ == "__main__":
    run_command(MODULE, main)
