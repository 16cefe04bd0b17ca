"""The ``rewa`` command. Each subcommand loads what it needs, so that mistakes are told within a second."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rewa.best_command import best_command
from rewa.calibrate_command import calibrate_command
from rewa.cluster.command import cluster_app
from rewa.data_command import data_app
from rewa.errors import RunError, UserError
from rewa.status_command import status_command

app = typer.Typer(
    name="rewa",
    help="Tune and compare sparse training methods on equal terms.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data_app, name="data")
app.add_typer(cluster_app, name="cluster")
app.command("status")(status_command)
app.command("best")(best_command)
app.command("calibrate")(calibrate_command)

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
    name: Annotated[str | None, typer.Option(help="Of the sweep; default: the space's own.")] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, max=1_000_000, help="Trials per method; with --resume it can be raised."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**31)] = None,
    output: Annotated[Path | None, typer.Option(help="Default: results/<name of the sweep>.")] = None,
    tracking_uri: TrackingUri = None,
    storage: Annotated[
        str | None,
        typer.Option(help="URI (s3://, gs://, file://) where all machines keep results; REWA_STORAGE."),
    ] = None,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster; default: this machine.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a sweep in --output.")] = False,
) -> None:
    """Tune every method of a search space on an equal budget and confirm the best settings."""
    from rewa import sweep_command

    status = sweep_command.sweep(
        space,
        name=name,
        trials=trials,
        seed=seed,
        output=output,
        tracking_uri=tracking_uri,
        storage=storage,
        address=address,
        resume=resume,
    )
    raise typer.Exit(status)


@app.command()
def register(
    sweep: Annotated[str, typer.Argument(help="Name of a sweep in the MLflow store, or its directory.")],
    compression: Annotated[
        float, typer.Option(min=1, help="Prunable weights over those that are kept: 100 keeps one in 100.")
    ],
    method: Annotated[str | None, typer.Option(help="Default: the best of all on validation.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the registered model; default: the sweep's own.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The sweep's directory, which keeps weights; default: results/SWEEP.")
    ] = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Register the model that is best at a compression, pruned and checked, in MLflow."""
    from rewa.register_command import register_model

    register_model(sweep, compression, method, name, output, tracking_uri)


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


@app.command("mlflow-server")
def mlflow_server(
    artifacts: Annotated[
        str | None, typer.Option(help="Directory of the runs' files; default results/mlartifacts.")
    ] = None,
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer requests.")] = 2,
    allowed_hosts: Annotated[
        str | None, typer.Option(help="Names by which others call this server, comma-separated.")
    ] = None,
) -> None:
    """Serve MLflow on REWA_MLFLOW_STORE, the PostgreSQL database of PGDATABASE, or results/mlflow.db."""
    from rewa.server_command import serve_mlflow

    serve_mlflow(host, port, artifacts, workers, allowed_hosts)


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
