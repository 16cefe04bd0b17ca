"""``rewa cluster``: what is wrong with a cluster file, before ``ray up`` costs anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

cluster_app = typer.Typer(
    name="cluster", help="Check cluster files for `ray up`.", no_args_is_help=True, rich_markup_mode=None
)


@cluster_app.callback()
def _group() -> None:
    """Check cluster files for `ray up`."""


@cluster_app.command("check")
def check_command(
    file: Annotated[Path, typer.Argument(help="A cluster file, such as cluster.yaml.")],
    space: Annotated[
        str | None, typer.Option(help="A search space that is to run there: a YAML file, or a name.")
    ] = None,
) -> None:
    """Tell everything that is wrong with a cluster file; needs no account, no network and starts nothing."""
    from rewa.cluster.check import check_cluster
    from rewa.cluster.document import read_cluster
    from rewa.cluster.summary import summarise

    document = read_cluster(file)
    loaded = None
    if space is not None:
        from rewa.sweep.space_file import find_space, load_space

        loaded = load_space(find_space(space))
    problems = check_cluster(document, loaded)
    for problem in problems:
        line = document.line(problem.location)
        print(f"{file}, line {line}: {problem.severity}: {problem.sentence}")
    errors = sum(problem.severity == "error" for problem in problems)
    print(f"{summarise(document.values)}; {_counted(errors, len(problems) - errors)}")
    again = f"rewa cluster check {file}" + (f" --space {space}" if space else "")
    print(f"next: {f'correct the file, then {again}' if errors else f'ray up {file}'}")
    if errors:
        raise typer.Exit(2)


def _counted(errors: int, warnings: int) -> str:
    """Return how many problems there are, in words."""
    if not errors and not warnings:
        return "nothing is wrong"
    parts = [(errors, "error"), (warnings, "warning")]
    return ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in parts if count)
