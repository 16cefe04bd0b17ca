"""The results page of the faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.faults.outcome import Outcome, judge
from benchmarks.provenance import Provenance, toy_note

NOTE = """\
Each row is a real `rewa sweep` of trainings that take half a second, resumed where the fault ended it.
Kept: results whose bytes and time stamp are the same in the end. Duplicates: on disk, in Optuna, in MLflow,
or trained although finished, by a ledger that the trainings keep themselves. Zombies: trials RUNNING in
Optuna or MLflow in the end. Failed: the reasons of the trials recorded so; only those made to fail may be.
Recovery: seconds from the fault to the next result, a resumed sweep's start included; the longest where
several struck.
"""


def verdict(outcomes: Sequence[Outcome]) -> str:
    """Say in a sentence whether all promises were kept."""
    broken = [outcome.fault for outcome in outcomes if judge(outcome)]
    finished, kept = sum(o.finished for o in outcomes), sum(o.kept for o in outcomes)
    said = (
        f"{len(outcomes)} faults: {kept} of {finished} finished trainings kept, "
        f"{sum(o.duplicates for o in outcomes)} duplicates, {sum(o.zombies for o in outcomes)} zombies; "
    )
    return said + (f"broken promises after {', '.join(broken)}." if broken else "every promise kept.")


def page(
    outcomes: Mapping[str, Outcome],
    skipped: Mapping[str, str],
    what: Mapping[str, str],
    scale: str,
    provenance: Provenance,
) -> str:
    """Return the page.

    Args:
        outcomes: By fault.
        skipped: Faults that could not be injected here, with the reason.
        what: Of every fault: what is done.
        scale: As in the command.
        provenance: Of the run.
    """
    lines = [
        "# Faults injected into sweeps\n",
        verdict(list(outcomes.values())) + "\n",
        provenance.markdown(),
        "",
        *toy_note(scale),
        NOTE,
        "| fault | finished, kept | in the end, planned | duplicates | zombies | failed | recovery, s | |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(what[name], outcome) for name, outcome in outcomes.items()),
        *(f"| {what[name]} | | | | | | | not injected: {reason} |" for name, reason in skipped.items()),
        "",
    ]
    broken = [f"- {what[name]}: {text}" for name, o in outcomes.items() for text in judge(o)]
    if broken:
        lines += ["Broken promises:\n", *broken, ""]
    return "\n".join(lines)


def _row(what: str, o: Outcome) -> str:
    """Return one row of the table."""
    failed = "; ".join(o.failed.values()).replace("|", "/") or "0"
    recovery = f"{max(o.recovery):.1f}" if o.recovery else ""
    cells = [
        what,
        f"{o.finished}, {o.kept}",
        f"{o.found}, {o.planned}",
        str(o.duplicates),
        str(o.zombies),
        failed,
        recovery,
        "broken" if judge(o) else "kept",
    ]
    return "| " + " | ".join(cells) + " |"
