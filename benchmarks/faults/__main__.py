"""What a sweep loses when something breaks: faults injected into real sweeps, and counted.

    python -m benchmarks.faults                    # all of them and the soak: half an hour
    python -m benchmarks.faults --fault worker --fault node
    python -m benchmarks.faults --soak --trials 200 --every 20 --seed 0

Every fault strikes a sweep of trivial trainings in a folder of its own; the sweep is resumed if it has to be,
and what is on disk, in Optuna and in MLflow is compared with a ledger that the trainings keep themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

from benchmarks.command_line import parser_for, run_command
from benchmarks.faults.catalog import CATALOG
from benchmarks.faults.ground import Ground
from benchmarks.faults.inject import counted, inject
from benchmarks.faults.outcome import Outcome, judge
from benchmarks.faults.page import page
from benchmarks.faults.plan import Plan
from benchmarks.faults.soak import soak
from benchmarks.progress import Meter
from benchmarks.provenance import Provenance, publish
from rewa.environment import commit
from rewa.errors import RunError, UserError
from rewa.record import write_text
from rewa.registry import did_you_mean

MODULE = "benchmarks.faults"
OUTPUT = "results/faults"
SOAK = "soak"
SOAK_SIZE = {"full": (200, 20.0), "smoke": (12, 8.0)}
"""Trials, and seconds between kills."""


def main() -> None:
    """Run the command."""
    parser = parser_for(MODULE, __doc__, OUTPUT)
    parser.add_argument("--fault", action="append", default=[], help="only this one; may be repeated")
    parser.add_argument(
        "--soak", action="store_true", help="only many trials with random kills (or that too)"
    )
    parser.add_argument("--trials", type=int, help="of the soak (default: 200)")
    parser.add_argument("--every", type=float, help="seconds between the soak's kills (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="of the soak's draws (default: 0)")
    arguments = parser.parse_args()
    names = chosen(arguments.fault, arguments.soak)
    provenance = Provenance(MODULE)
    skipped = {name: reason for name in names if (reason := CATALOG[name].missing() if name != SOAK else "")}
    output: Path = arguments.output
    trials, every = SOAK_SIZE[arguments.scale]
    trials, every = arguments.trials or trials, arguments.every or every
    if trials < 2 or every <= 0:
        raise UserError("--trials must be at least 2 and --every positive")
    outcomes: dict[str, Outcome] = {}
    with Meter("faults", len(names) - len(skipped), "faults") as meter:
        store = empty_store(output)
        for name in names:
            if name in skipped:
                continue
            home = output / "sweeps" / name

            def run(name: str = name, home: Path = home) -> Outcome:
                if name != SOAK:
                    return inject(name, CATALOG[name], home, store)
                return soaked(trials, every, arguments.seed, home, store)

            recipe = f"{commit()} {trials} {every:g} {arguments.seed}" if name == SOAK else commit()
            outcomes[name] = kept(output / "kept" / f"{name}.json", recipe, run)
            meter.advance(1)
    what = {name: fault.what for name, fault in CATALOG.items()}
    what[SOAK] = f"{trials} trials, a random kill every {every:g} s (seed {arguments.seed})"
    figures = {"outcomes": {name: o.plain() for name, o in outcomes.items()}, "skipped": skipped}
    publish(
        arguments, "faults", page(outcomes, skipped, what, arguments.scale, provenance), provenance, figures
    )
    if broken := [name for name, outcome in outcomes.items() if judge(outcome)]:
        raise RunError(f"promises were broken after: {', '.join(broken)}; see {output}/README.md")


def chosen(faults: list[str], with_soak: bool) -> list[str]:
    """Return the names to run: those asked for, or all.

    Raises:
        UserError: If there is no such fault.
    """
    for name in faults:
        if name not in CATALOG:
            raise UserError(f"--fault {name}: there is no such fault{did_you_mean(name, CATALOG)}")
    if not faults and not with_soak:
        return [*CATALOG, SOAK]
    return [*dict.fromkeys(faults), *([SOAK] if with_soak else [])]


def soaked(trials: int, every: float, seed: int, home: Path, store: Path) -> Outcome:
    """Run the soak and count; the table's row says what was killed by how often it was."""
    plan = Plan(trials=max(1, trials // 2))

    def act(ground: Ground) -> None:
        with Meter("soak", plan.trainings, "trainings") as meter:
            soak(ground, every, seed, lambda count: meter.advance(count - meter.done))

    return counted(SOAK, plan, act, home, store)


def kept(path: Path, recipe: str, run: Callable[[], Outcome]) -> Outcome:
    """Return the outcome that an earlier command of the same recipe found and kept, or run and keep it."""
    names = {field.name for field in fields(Outcome)}
    if path.is_file() and (found := json.loads(path.read_text()))["recipe"] == recipe:
        values = {name: value for name, value in found["outcome"].items() if name in names}
        outcome = Outcome(**values)
        return replace(outcome, recovery=tuple(outcome.recovery), broken=tuple(outcome.broken))
    outcome = run()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"recipe": recipe, "outcome": outcome.plain()}, indent=1))
    return outcome


def empty_store(output: Path) -> Path:
    """Return an empty MLflow database; it takes ten seconds to make, so every sweep gets a copy."""
    from mlflow import MlflowClient

    path = output.absolute() / "empty.db"
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--output {output}: cannot be written ({error.strerror})") from None
        MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments(max_results=1)
    return path


if __name__ == "__main__":
    run_command(MODULE, main)
