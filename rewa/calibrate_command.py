"""``rewa calibrate``: which penalty gives which sparsity, by what the trials of a sweep reached."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rewa.best_command import StoreOption, SweepArgument, plain
from rewa.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from analysis.calibration.fit import Calibration
    from rewa.sweep_source import Source


def calibrate_command(
    sweep: SweepArgument,
    method: Annotated[str, typer.Option(help="Whose trials.")] = "rewa",
    compression: Annotated[
        str | None, typer.Option(help="Targets, comma-separated, such as 10,100; default: the report's.")
    ] = None,
    sparsity: Annotated[
        str | None, typer.Option(help="The same in percent of weights that are zero: 90,99 is 10,100.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="A quantity that was drawn or a setting, such as weight_decay; default: what the penalty "
            "comes to over a training (decay_budget), where that is known, else the penalty."
        ),
    ] = None,
    within: Annotated[
        float,
        typer.Option(
            help="Loss that counts as none, against a trial's own unpruned model on validation. Accuracies: "
            "percentage points. Errors: percent of the way from chance to the ideal value."
        ),
    ] = 1.0,
    plot: Annotated[Path | None, typer.Option(help="Write the trials and the curve to this PNG.")] = None,
    tracking_uri: StoreOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
) -> None:
    """Say which penalty gives which sparsity. Exit status 1 where no target can be told."""
    targets = asked_targets(compression, sparsity)
    if not 0.0 <= within < 100.0:
        raise UserError(f"--within {within:g}: must be at least 0 and below 100")
    if plot is not None and (plot.suffix.lower() != ".png" or not plot.absolute().parent.is_dir()):
        raise UserError(f"--plot {plot}: must be a .png in a directory that exists")
    from analysis.calibration.fit import calibrate
    from analysis.summary import summarise
    from rewa.sweep_source import read_source

    source = read_source(sweep, tracking_uri)
    summary = summarise(source.record)
    found = calibrate(summary, method, targets or summary.ratios, by=by, within=within)
    if as_json:
        print(json.dumps(as_data(found, source), allow_nan=False))
    else:
        show(found, source, targets, sweep, tracking_uri)
    if plot is not None:
        write_plot(found, plot, quiet=as_json)
    raise typer.Exit(0 if any(not one.reason for one in found.placed) else 1)


def asked_targets(compression: str | None, sparsity: str | None) -> list[float]:
    """The targets as compressions, rising; none where none were asked for.

    Raises:
        UserError: If both are given, or one is no number or out of range.
    """
    if compression is not None and sparsity is not None:
        raise UserError("give either --compression or --sparsity, which is the same in percent of zeros")
    if compression is not None:
        ratios = _numbers(compression, "--compression", "such as 10,100")
        if bad := [one for one in ratios if not 1.0 < one < math.inf]:
            raise UserError(f"--compression {bad[0]:g}: must be above 1, which is no compression")
        return sorted(set(ratios))
    if sparsity is None:
        return []
    shares = _numbers(sparsity, "--sparsity", "such as 90,99")
    if bad := [one for one in shares if not 1.0 <= one < 100.0]:
        raise UserError(f"--sparsity {bad[0]:g}: must be percent of weights that are zero, 1 to 99.99")
    return sorted({float(f"{100.0 / (100.0 - share):.12g}") for share in shares})


def _numbers(words: str, option: str, example: str) -> list[float]:
    try:
        return [float(word) for word in words.split(",")]
    except ValueError:
        raise UserError(f"{option} {words!r}: must be numbers separated by commas, {example}") from None


def as_data(found: Calibration, source: Source) -> dict[str, Any]:
    """The calibration as plain data; a number that is missing is null, one that is not finite a text."""
    from analysis.calibration import wording as calibration_text
    from analysis.calibration.settings import nearest_confirmed, suggestion, trained_setting
    from analysis.commands import train_line

    targets = []
    for one in found.placed:
        names = ("target", "value", "low", "high", "unpruned")
        data: dict[str, Any] = {name: plain(getattr(one, name)) for name in names}
        data |= {"open_low": one.open_low, "open_high": one.open_high, "reason": one.reason}
        setting = trained_setting(found, one.target)
        for key, other in (("trained", setting), ("confirmed", nearest_confirmed(found, one))):
            data[key] = other and {
                "trial": other.trial,
                "phase": other.row["phase"],
                "target": plain(other.row["value"]),
                "knob": plain(other.knob),
                "reached": plain(other.reached),
                "test_values": [plain(value) for value in other.row["test_values"]],
                "command": train_line(found.summary.record, other.row),
            }
        new = suggestion(found, one, setting) if setting else None
        data["suggestion"] = new and {new.changed: new.value, "command": new.command}
        targets.append(data)
    return {
        "sweep": found.summary.record.name,
        "method": found.method,
        "by": found.by,
        "within": found.within,
        "reason": found.reason,
        "sentences": calibration_text.sentences(found),
        "notes": [*source.notes, *calibration_text.notes(found)],
        "correlations": {
            one.knob: {"rho": plain(one.rho), "trials": one.count} for one in found.correlations
        },
        "scatter": plain(found.scatter),
        "targets": targets,
    }


def show(
    found: Calibration, source: Source, targets: list[float], sweep: str, tracking_uri: str | None
) -> None:
    """Print the calibration: sentences, a table, and settings for the targets.

    Args:
        found: The calibration.
        source: Of the sweep.
        targets: What was asked for; settings are shown for the main target where that is nothing.
        sweep: As the user named it.
        tracking_uri: As the user gave it.
    """
    from rich.console import Console

    from analysis.calibration import wording as calibration_text
    from analysis.calibration.settings import suggestion, trained_setting
    from analysis.commands import train_line
    from analysis.headline import main_ratio

    console = Console(highlight=False, markup=False)
    first, *others = calibration_text.sentences(found)
    console.print(first, style="bold")
    for sentence in others:
        console.print(sentence)
    for note in [*source.notes, *calibration_text.notes(found)]:
        console.print(f"note: {note}")
    if any(not one.reason for one in found.placed):
        console.print()
        console.print(target_table(found), crop=False)
    shown = targets or [main_ratio(found.summary.ratios)]
    for one in found.placed:
        setting = trained_setting(found, one.target) if one.target in shown else None
        if setting is None:
            continue
        console.print()
        console.print(calibration_text.trained(found, one, setting))
        print(train_line(source.record, setting.row))  # in one line however long, to be copied
        if new := suggestion(found, one, setting):
            console.print(calibration_text.untrained(found, one, setting, new))
            print(new.command)
    best = ["rewa", "best", sweep, "--compression", f"{shown[0]:g}", "--method", found.method]
    store = ["--tracking-uri", tracking_uri] if tracking_uri else []
    print(f"\nthe best setting at {shown[0]:g}x, whatever it reached: {shlex.join([*best, *store])}")
    if not targets:
        print("settings for other targets: add --compression or --sparsity")


def target_table(found: Calibration) -> Table:
    """Per target the knob, its interval, and what the nearest confirmed setting reaches there on test."""
    from rich.table import Table

    from analysis import text
    from analysis.calibration import wording as calibration_text
    from analysis.calibration.settings import nearest_confirmed

    words, unit = found.summary.words, " %" if found.summary.metric.is_share else ""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", pad_edge=False)
    for name in ("target", found.by, "95 % interval", "unpruned"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("nearest confirmed", no_wrap=True)
    table.add_column(f"test{unit}", justify="right", no_wrap=True)
    for one in (placed for placed in found.placed if not placed.reason):
        near = nearest_confirmed(found, one)
        table.add_row(
            f"{one.target:g}x ({calibration_text.sparsity(one.target)})",
            calibration_text.number(one.value),
            calibration_text.bounds(one),
            words.mean_std(one.unpruned, math.nan),
            f"{near.trial} ({calibration_text.number(near.knob)})" if near else "none",
            words.mean_std(near.row["test_metric_mean"], near.row["test_metric_std"]) if near else text.DASH,
        )
    return table


def write_plot(found: Calibration, path: Path, *, quiet: bool) -> None:
    """Write the figure and say where it is.

    Raises:
        UserError: If it cannot be written.
    """
    from analysis import figures
    from analysis.calibration.figure import calibration_figure
    from rewa.atomic import replacing

    image = figures.png(calibration_figure(found))
    try:
        with replacing(path) as file:
            file.write(image)
    except OSError as error:
        raise UserError(f"--plot {path}: cannot be written ({error.strerror})") from None
    if not quiet:
        print(f"plot: {path}")
