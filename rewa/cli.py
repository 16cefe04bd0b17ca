"""The ``rewa`` command. Each subcommand loads what it needs, so that mistakes are told within a second."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rewa.data_command import data_app
from rewa.errors import RunError, UserError

app = typer.Typer(
    name="rewa",
    help="Tune and compare sparse training methods on equal terms.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data_app, name="data")

TrackingUri = Annotated[
    str | None,
    typer.Option(help="MLflow store; default MLFLOW_TRACKING_URI, else results/mlflow.db here."),
]


@app.command("list")
def list_registered() -> None:
    """List workloads, methods and search spaces."""
    from rewa.methods import REGISTRY as METHODS
    from rewa.methods import get_method
    from rewa.presets import PRESETS
    from rewa.sweep.space_file import spaces_folder
    from rewa.workloads import REGISTRY as WORKLOADS
    from rewa.workloads import get_workload

    print("workloads")
    for name in WORKLOADS:
        found = get_workload(name)
        print(f"  {name:<15} {found.summary}")
        print(f"  {'':<15} settings: {', '.join(found.Config.model_fields)}")
    print("methods")
    for name in METHODS:
        method = get_method(name)
        print(f"  {name:<15} {method.summary}")
        print(f"  {'':<15} settings: {', '.join(method.Config.model_fields)}")
    print("presets (settings of the paper, for --preset)")
    for name, preset in PRESETS.items():
        print(f"  {name:<33} rewa train {preset.workload} {preset.method}: {preset.source}")
    print("search spaces")
    for path in sorted(spaces_folder().glob("*.yaml")):
        print(f"  {path.stem:<15} {_first_comment(path)}")


@app.command()
def train(
    workload: Annotated[str, typer.Argument(help="See `rewa list`; or package.module:Class of your own.")],
    method: Annotated[str, typer.Argument(help="See `rewa list`; or package.module:Class of your own.")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the method: key=value.")
    ] = None,
    set_workload: Annotated[
        list[str] | None, typer.Option("--set-workload", help="A setting of the workload: key=value.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="A setting of the paper (see `rewa list`); --set overrides it.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Default: the workload's own.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Default: the workload's own.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Default: a folder of its own in results/train.")
    ] = None,
    tracking_uri: TrackingUri = None,
    tracking: Annotated[
        bool, typer.Option("--tracking/--no-tracking", help="Whether the run goes to MLflow.")
    ] = True,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[
        int, typer.Option(min=1, help="CPU threads; a trial of a sweep has resources.cpu of them.")
    ] = 1,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on from the checkpoint of an interrupted run.")
    ] = True,
    checkpoint_every: Annotated[
        float, typer.Option(min=0, help="Seconds between checkpoints, at the ends of epochs.")
    ] = 60.0,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="On a GPU: repeatable kernels only, somewhat slower.")
    ] = False,
    finetune_at: Annotated[
        list[float] | None,
        typer.Option(help="Prune to this compression and train on under its mask; may be repeated."),
    ] = None,
    finetune_epochs: Annotated[int, typer.Option(min=1)] = 10,
    finetune_lr: Annotated[float, typer.Option(min=0)] = 0.01,
) -> None:
    """Train one model and measure its frontier. Under torchrun: one model on all its processes."""
    from rewa.train_command import TrainRequest, train_once

    train_once(
        TrainRequest(
            workload=workload,
            method=method,
            settings=set_ or [],
            recipe=set_workload or [],
            preset=preset,
            epochs=epochs,
            seed=seed,
            output=output,
            tracked=tracking,
            tracking_uri=tracking_uri,
            device=device,
            threads=threads,
            resume=resume,
            checkpoint_every=checkpoint_every,
            deterministic=deterministic,
            finetune_at=finetune_at or [],
            finetune_epochs=finetune_epochs,
            finetune_lr=finetune_lr,
        )
    )


@app.command()
def sweep(
    space: Annotated[str, typer.Argument(help="A YAML file, or a name in search_spaces/.")],
    trials: Annotated[int | None, typer.Option(min=1, help="Trials per method.")] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    output: Annotated[Path | None, typer.Option(help="Default: results/<name of the space>.")] = None,
    tracking_uri: TrackingUri = None,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster; default: this machine.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a sweep in --output.")] = False,
) -> None:
    """Tune every method of a search space on an equal budget and confirm the best settings."""
    from rewa.store_uri import check_store, resolve_uri
    from rewa.sweep.executor import check_address, check_local_resources
    from rewa.sweep.run import open_sweep, run_sweep
    from rewa.sweep.space_file import find_space, load_space

    path = find_space(space)
    loaded = load_space(path)
    uri = resolve_uri(tracking_uri)
    check_store(uri)
    _check_workload(loaded.workload_name, loaded.workload_settings)
    if address is None:
        check_local_resources(loaded.resources)
    else:
        check_address(address)
    target = output or Path("results") / loaded.name
    settled, folder = open_sweep(loaded, path.read_text(), target, resume, trials, seed)
    tracked = f" --tracking-uri {tracking_uri}" if tracking_uri else ""
    again = f"rewa sweep {space} --output {target} --resume{tracked}"
    try:
        outcome = run_sweep(settled, folder, uri, address)
    except UserError:
        raise
    except Exception as error:
        log = folder.write_error()
        brief = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RunError(
            f"the sweep stopped: {brief} (details in {log}); nothing finished is lost, go on with: {again}"
        ) from error
    finally:
        folder.unlock()
    counts = ", ".join(f"{count} {status}" for status, count in sorted(outcome.counts.items()))
    if not outcome.complete:
        print(f"stopped early: {counts}; nothing finished is lost. Go on with: {again}")
        raise typer.Exit(1)
    state = "complete" if outcome.ran else "already complete"
    print(f"sweep {settled.name!r} is {state}: {counts} trainings in {target}, runs in {uri}")
    if outcome.ran == 0 and folder.report.is_file():
        print(f"report: {folder.report}")
    else:
        command = f"python -m analysis.report --sweep {settled.name} --output {target}{tracked}"
        print(f"next: {command}")


@app.command()
def ui(
    tracking_uri: TrackingUri = None,
    sweep: Annotated[str | None, typer.Option(help="Default: the newest.")] = None,
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    port: Annotated[int, typer.Option()] = 5000,
) -> None:
    """Open the MLflow UI on the comparison of a sweep's methods."""
    from rewa.ui_command import serve_ui

    serve_ui(tracking_uri, sweep, host, port)


def _check_workload(name: str, settings: dict[str, Any]) -> None:
    """Refuse an unknown workload or a wrong setting of it before anything starts."""
    from rewa.workloads import get_workload

    workload = get_workload(name)
    workload.Config.parse(settings, f"workload {name!r}")


def _first_comment(path: Path) -> str:
    """Return a search space's first comment line, its description."""
    line = path.read_text().splitlines()[0]
    return line.removeprefix("#").strip() if line.startswith("#") else ""


def main() -> None:
    """Run the command line: exit status 0 done, 2 bad input, 1 anything else."""
    try:
        app()
    except UserError as error:
        print(f"rewa: error: {error}", file=sys.stderr)
        sys.exit(2)
    except RunError as error:
        print(f"rewa: error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("rewa: interrupted", file=sys.stderr)
        sys.exit(1)
