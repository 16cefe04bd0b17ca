"""Figure 2 of the paper: sparsity at seven thresholds for (a) methods, (b) K, (c) M and (d) lambda.

    python -m benchmarks.figure2

Every panel shows what the paper's shows, the share of weights at or below a threshold, as mean and standard
deviation of three seeds, and below it what the paper's leaves out: the test error of every run. A model that
has lost the signal is perfectly sparse.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import RC, png
from benchmarks.claims import Claim, claims_table, judge
from benchmarks.command_line import parser_for, run_command
from benchmarks.provenance import Provenance, write_json
from benchmarks.sparse_study import (
    PAPER_SEEDS,
    PAPER_SGD_L1,
    SPARSITY_COLUMNS,
    Setting,
    Study,
    recovered,
    rewa,
)
from rewa.workloads.sparse_recovery import PAPER_THRESHOLDS

MODULE = "benchmarks.figure2"
OUTPUT = "results/figure2"
PANELS: dict[str, tuple[str, list[Setting]]] = {
    "a": (
        "methods",
        [
            rewa("ReWA K=9 M=4"),
            Setting("SGD-L1", "sgd_l1", PAPER_SGD_L1),
            Setting("LASSO (cross-validated)", "lasso", {}),
        ],
    ),
    "b": (
        "K, M = (K-1)/2",
        [rewa(f"K={K} M={(K - 1) // 2}", K=K, M=(K - 1) // 2) for K in (3, 5, 7, 9, 11, 13)],
    ),
    "c": ("M at K = 9", [rewa(f"M={M}", M=M) for M in (0, 2, 4, 6, 8)]),
    "d": (
        "lambda at K = 9, M = 4",
        [rewa(f"λ={w:g}", weight_decay=w) for w in (0.0, 0.05, 0.1, 0.25, 0.5, 1.0)],
    ),
}


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per panel and setting: sparsity and errors, mean and deviation over seeds."""
    runs = runs.assign(recovered=recovered(runs))
    grouped = runs.groupby(["panel", "label"], sort=False)
    table = grouped[["test_mse", "estimation_error", "support_size", *SPARSITY_COLUMNS]].agg(["mean", "std"])
    table.columns = [name if part == "mean" else f"{name}_std" for name, part in table.columns]
    table["recovered"], table["runs"] = grouped["recovered"].sum(), grouped["seed"].size()
    return table.reset_index()


def draw(runs: pd.DataFrame) -> Figure:
    """Draw the four panels, each above the test errors of its runs."""
    with mpl.rc_context(RC):
        figure = Figure(figsize=(13.2, 7.2), layout="constrained")
        axes = figure.subplots(2, 4, height_ratios=(2, 1.1), sharey="row")
        for column, (panel, (title, settings)) in enumerate(PANELS.items()):
            own = runs[runs["panel"] == panel]
            _panel(axes[0, column], axes[1, column], own, settings, f"({panel}) {title}")
        axes[0, 0].set_ylabel("share of weights at or below the threshold")
        axes[1, 0].set_ylabel("test MSE of every run\n(lower is better)")
        seeds = runs["seed"].nunique()
        figure.suptitle(
            f"Sparse recovery, d = 10,000, one true weight: mean ± std of {seeds} seeds, and what the sparsity costs",
            x=0.01,
            ha="left",
            fontsize=12,
            fontweight="bold",
        )
    return figure


def _panel(top: Axes, bottom: Axes, runs: pd.DataFrame, settings: list[Setting], title: str) -> None:
    colours = sns.color_palette("viridis", len(settings))
    x = np.array(PAPER_THRESHOLDS)
    for place, (setting, colour) in enumerate(zip(settings, colours, strict=True)):
        own = runs[runs["label"] == setting.label]
        values = own[SPARSITY_COLUMNS].to_numpy(dtype=float)
        mean, std = values.mean(axis=0), values.std(axis=0, ddof=1) if len(values) > 1 else 0.0
        shift = 1.06 ** (place - (len(settings) - 1) / 2)  # so that equal curves stay visible
        top.errorbar(
            x * shift, mean, yerr=std, color=colour, marker="o", markersize=4, capsize=2, label=setting.label
        )
        found = recovered(own).to_numpy()
        for hit, marker in ((True, "o"), (False, "x")):
            errors = own["test_mse"].to_numpy()[found == hit]
            bottom.plot([place] * len(errors), errors, marker, color=colour, markersize=6, linestyle="")
    top.set_xscale("log")
    top.set_title(title, loc="left", fontsize=11)
    top.set_xlabel("threshold on |x|")
    top.legend(fontsize=8, loc="lower right", framealpha=0.9)
    bottom.set_xticks(
        range(len(settings)), [s.label.replace(" (", "\n(") for s in settings], rotation=30, fontsize=8
    )
    bottom.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
    bottom.axhline(2.0, color="black", linewidth=0.8, linestyle=":")
    bottom.annotate(
        "o exact support, x not", (0.02, 0.6), xycoords="axes fraction", fontsize=8, color="#555555"
    )


def findings(table: pd.DataFrame) -> list[Claim]:
    """Judge the paper's four claims (Section 4.1)."""
    at = table.set_index(["panel", "label"])
    tight, loose = "sparsity@1e-07", "sparsity@0.001"

    def column(panel: str, name: str) -> pd.Series:
        return at.loc[panel][name]

    def listed(values: pd.Series, form: str = "{:.4f}") -> str:
        return ", ".join(f"{label}: {form.format(value)}" for label, value in values.items())

    ours, sgd, lasso = (at.loc[("a", s.label)] for s in PANELS["a"][1])
    hits = {panel: listed(column(panel, "recovered"), "{:.0f}") for panel in "abcd"}
    rising = {panel: bool(column(panel, tight).is_monotonic_increasing) for panel in "bcd"}
    kept = {p: bool(column(p, "recovered").iloc[-1] >= column(p, "recovered").max()) for p in "bcd"}
    runs = int(table["runs"].max())
    return [
        Claim(
            "ReWA is about as sparse as LASSO",
            "4.1, Figure 2a",
            judge([abs(ours[loose] - lasso[loose]) < 0.01, ours["recovered"] >= lasso["recovered"]]),
            f"share at or below 1e-3: ReWA {ours[loose]:.4f}, LASSO {lasso[loose]:.4f} ({lasso['support_size']:.0f} "
            f"weights left); exact support in {ours['recovered']:.0f} and {lasso['recovered']:.0f} of {runs} runs; "
            f"test MSE {ours['test_mse']:.3f} ± {ours['test_mse_std']:.3f} and {lasso['test_mse']:.3f}",
        ),
        Claim(
            "both are sparser than SGD-L1",
            "4.1, Figure 2a",
            judge([min(ours[t], lasso[t]) > sgd[t] + 0.001 for t in SPARSITY_COLUMNS]),
            "share at or below 1e-7, 1e-5, 1e-3: "
            + "; ".join(
                f"{name} {row[tight]:.4f}, {row['sparsity@1e-05']:.4f}, {row[loose]:.4f}"
                for name, row in (("ReWA", ours), ("SGD-L1", sgd), ("LASSO", lasso))
            )
            + f"; SGD-L1 recovers the support above 1e-3 in {sgd['recovered']:.0f} of {runs} runs, test MSE "
            f"{sgd['test_mse']:.3f}",
        ),
        Claim(
            "larger K with its larger M is sparser",
            "4.1, Figure 2b",
            judge([rising["b"], kept["b"]]),
            f"share at or below 1e-7: {listed(column('b', tight))}; runs of {runs} with the exact support: {hits['b']}",
        ),
        Claim(
            "larger M is sparser",
            "4.1, Figure 2c",
            judge([rising["c"], kept["c"]]),
            f"share at or below 1e-7: {listed(column('c', tight))}; runs of {runs} with the exact support: {hits['c']}",
        ),
        Claim(
            "larger lambda is sparser",
            "4.1, Figure 2d",
            judge([rising["d"], kept["d"]]),
            f"share at or below 1e-7: {listed(column('d', tight))}; runs of {runs} with the exact support: {hits['d']}",
        ),
    ]


def main() -> None:
    """Run what is missing, then write the figure, the table and the findings."""
    parser = parser_for(MODULE, __doc__, OUTPUT)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(PAPER_SEEDS))
    arguments = parser.parse_args()
    output: Path = arguments.output
    provenance = Provenance(MODULE)
    study = Study(output, arguments.scale)
    every = {s.key + s.method: s for _, settings in PANELS.values() for s in settings}
    study.run(list(every.values()), arguments.seeds)  # shared settings once, all in one pack a seed
    runs = pd.concat(
        [study.run(s, arguments.seeds).assign(panel=panel) for panel, (_, s) in PANELS.items()],
        ignore_index=True,
    )
    table = summary(runs)
    claims = claims_table(findings(table))
    (output / "figure2.png").write_bytes(png(draw(runs)))
    table.round(6).to_csv(output / "settings.csv", index=False)
    page = [
        "# Figure 2: sparsity at the paper's thresholds\n",
        provenance.markdown(),
        f"- seeds: {', '.join(map(str, arguments.seeds))}; scale: {arguments.scale}\n",
        "![Figure 2](figure2.png)\n",
        claims,
        "",
    ]
    (output / "README.md").write_text("\n".join(page))
    if arguments.json:
        write_json(arguments.json, provenance, table.to_dict("records"))
    print(claims)
    print(f"figure and findings: {output}/figure2.png, {output}/README.md; runs: {output}/runs.csv")


if __name__ == "__main__":
    run_command(MODULE, main)
