"""Where each sparse method wins: ReWA, its rivals and the direct solvers over regimes of sparse recovery.

    python -m benchmarks.regimes

The paper's Appendix B names SCAD, MCP and the adaptive lasso beside l_p: l_p, hence ReWA, for high sparsity
and for weak or mixed signals, SCAD and MCP for accuracy. Every method has 24 settings per data set, chosen on
a validation split; ten data sets per regime are the same for all methods; errors are exact population values.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from analysis.figures import png
from benchmarks.claims import claims_table
from benchmarks.command_line import parser_for, run_command
from benchmarks.kept import KeptRows, claim_directory
from benchmarks.progress import Meter
from benchmarks.provenance import Provenance, toy_note, write_json
from benchmarks.regimes_claims import findings, page
from benchmarks.regimes_data import Regime, regimes
from benchmarks.regimes_figure import draw
from benchmarks.regimes_methods import BATCH, EPOCHS, GRIDS, fit_all, measures
from benchmarks.regimes_tables import UNIT, headline, summary
from rewa.errors import UserError
from rewa.record import write_text

MODULE = "benchmarks.regimes"
OUTPUT = "results/regimes"


class Study:
    """All runs of one output directory; a data set's runs are kept when it is done, and not repeated.

    Args:
        output: The directory.
        scale: "full" or "smoke".

    Raises:
        UserError: If the directory holds runs of another recipe, or cannot be written.
    """

    def __init__(self, output: Path, scale: str) -> None:
        self.regimes, self.epochs = regimes(scale), EPOCHS[scale]
        recipe = {"regimes": [asdict(r) for r in self.regimes], "grids": GRIDS, "epochs": self.epochs}
        text = json.dumps({**recipe, "batch": BATCH}, indent=1) + "\n"
        claim_directory(output / "recipe.json", text, "runs of another recipe")
        self._kept = KeptRows(output / "runs.csv", UNIT)

    @property
    def runs(self) -> pd.DataFrame:
        """All runs kept so far."""
        return self._kept.table

    def run(self, seeds: Sequence[int]) -> pd.DataFrame:
        """Run what is missing and return the runs of these data seeds, one row per setting.

        ``seconds`` is of the whole method, all its settings; a pack's time is shared out equally.
        """
        with Meter("regimes", len(self.regimes) * len(seeds) * len(GRIDS), "fits of 24") as meter:
            for seed in seeds:  # regimes inside, so that an interrupted study has something of all
                for regime in self.regimes:
                    done = self.runs[(self.runs["regime"] == regime.name) & (self.runs["seed"] == seed)]
                    missing = [name for name in GRIDS if name not in set(done["method"])]
                    meter.skip(len(GRIDS) - len(missing))
                    if missing:
                        self._fit(regime, seed, missing, meter)
        return self.runs[self.runs["seed"].isin(seeds)]

    def _fit(self, regime: Regime, seed: int, methods: Sequence[str], meter: Meter) -> None:
        train, validation = regime.draw(seed)
        measure = measures(regime, validation)
        rows = []
        for name, fits in fit_all(regime, train, methods, seed, self.epochs):
            unit = {"regime": regime.name, "method": name, "seed": seed}
            for index, (setting, measured) in enumerate(zip(GRIDS[name], measure(fits), strict=True)):
                config = {"setting": index, "config": json.dumps(setting), "seconds": round(fits.seconds, 2)}
                rows.append({**unit, **config, **measured})
            meter.advance(1)
        self._kept.add(rows)


def main() -> None:
    """Run what is missing, then write the figure, the tables and the findings."""
    parser = parser_for(MODULE, __doc__, OUTPUT)
    parser.add_argument("--repeats", type=int, default=10, help="data sets per regime (default: 10)")
    arguments = parser.parse_args()
    if arguments.repeats < 1:
        raise UserError(f"--repeats {arguments.repeats}: must be at least 1")
    output: Path = arguments.output
    provenance = Provenance(MODULE)
    study = Study(output, arguments.scale)
    runs = study.run(range(1, arguments.repeats + 1))
    table = summary(runs)
    claims = findings(runs)
    (output / "regimes.png").write_bytes(png(draw(table, study.regimes, arguments.repeats)))
    write_text(output / "table.csv", table.to_csv(index=False, float_format="%.5g"))
    minutes = float(runs.groupby(UNIT)["seconds"].first().sum()) / 60
    text = page(table, claims, study.regimes, study.epochs, arguments.repeats, minutes, provenance)
    write_text(output / "README.md", "\n".join([text, *toy_note(arguments.scale)]))
    if arguments.json:
        write_json(arguments.json, provenance, json.loads(table.to_json(orient="records")))
    print(headline(table))
    print(claims_table(claims))
    print(f"figure and findings: {output}/regimes.png, {output}/README.md; runs: {output}/runs.csv")


if __name__ == "__main__":
    run_command(MODULE, main)
