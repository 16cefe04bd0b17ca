"""``rewa status``: what a sweep is doing, or what became of it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def status_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The --output of a sweep.")],
    watch: Annotated[
        float | None, typer.Option(min=0.1, metavar="SECONDS", help="Show it again so often, until it ends.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON instead of tables.")] = False,
) -> None:
    """Show a running or dead sweep: counts by state, best so far, time left, last error."""
    from rich.console import Console
    from rich.live import Live

    from rewa.status.state import Status, read_status
    from rewa.status.trainings import TrainingReader
    from rewa.status.view import view

    reader = TrainingReader(folder)
    console = Console(highlight=False)

    def show(status: Status) -> None:
        if as_json:
            print(json.dumps(asdict(status)), flush=True)
        else:
            console.print(view(status), crop=False)

    status = read_status(folder, reader)
    if watch is None or not status.driver.running:
        show(status)
        return
    try:
        if console.is_terminal and not as_json:
            with Live(view(status), console=console, auto_refresh=False) as live:
                while status.driver.running:
                    time.sleep(watch)
                    status = read_status(folder, reader)
                    live.update(view(status), refresh=True)
            return
        while True:
            show(status)
            if not status.driver.running:
                return
            time.sleep(watch)
            status = read_status(folder, reader)
            if not as_json:
                console.print()
    except KeyboardInterrupt:
        return
