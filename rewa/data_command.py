"""``rewa data``: prepare data for the loaders."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rewa.data.write_beton import Progress

data_app = typer.Typer(
    name="data", help="Prepare data for the loaders.", no_args_is_help=True, rich_markup_mode=None
)


@data_app.callback()
def _group() -> None:
    """Prepare data for the loaders."""


@data_app.command("write-beton")
def write_beton_command(
    source: Annotated[Path, typer.Argument(help="Folder with train/ and val/ or test/ of class folders.")],
    dest: Annotated[Path, typer.Argument(help="Folder for the .beton files; nothing is overwritten.")],
    max_resolution: Annotated[
        int, typer.Option(min=1, max=16384, help="Longest side in pixels; larger images are shrunk.")
    ] = 500,
    quality: Annotated[
        int, typer.Option(min=1, max=100, help="Of images that are encoded as JPEG here.")
    ] = 90,
    jpeg_share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Part of the images stored as JPEG, the rest as pixels. Default: JPEG files of more than 64 "
            "pixels as JPEG (unchanged if they need not shrink), small images and other formats as pixels.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that encode; default: one per core.")
    ] = None,
) -> None:
    """Write an image folder as FFCV's beton files, which are read with few cores (needs `make ffcv`)."""
    from rewa.data.write_beton import StoreSettings, write_beton

    settings = StoreSettings(max_resolution=max_resolution, quality=quality, jpeg_share=jpeg_share)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with _Bar() as bar:
        contents = write_beton(source, dest, settings, workers or cores, bar)
    for name, file in contents.files.items():
        print(f"{dest / name}: {file.images:,} images, {file.bytes / 1e6:,.1f} MB")
    workload = "imagenet" if len(contents.classes) == 1000 else "image_folder"
    print(f"next: rewa train {workload} rewa --set-workload root={dest}")


@data_app.command("check-beton")
def check_beton_command(
    folder: Annotated[Path, typer.Argument(help="Folder that `rewa data write-beton` wrote.")],
) -> None:
    """Compare every byte of beton files with the checksums of when they were written (needs `make ffcv`)."""
    from rewa.data.check_beton import check_beton

    with _Bar("blocks") as bar:
        checked = check_beton(folder, bar)
    for name, images in checked.items():
        print(f"{folder / name}: {images:,} images, as they were written")


class _Bar:
    """A bar with the time left on a terminal; elsewhere a line at the start and every minute."""

    def __init__(self, things: str = "images") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._shown = console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not self._shown,
        )
        self._things = things
        self._tasks: dict[str, int] = {}
        self._last = -60.0

    def __enter__(self) -> Progress:
        self._bar.start()
        return self._advance

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _advance(self, split: str, done: int, total: int) -> None:
        if split not in self._tasks:
            self._tasks[split] = self._bar.add_task(split, total=total)
            self._last = -60.0
        self._bar.update(self._tasks[split], completed=done)  # type: ignore[arg-type]
        if not self._shown and time.monotonic() - self._last >= 60:
            self._last = time.monotonic()
            print(f"{split}: {done} of {total} {self._things}", file=sys.stderr)
