"""From an image folder to a folder of FFCV's beton files."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rewa import __version__
from rewa.config import Settings
from rewa.data.beton_files import CONTENTS, SPLITS, Contents, FileContents, block_checksums, read_index
from rewa.data.ffcv_package import ffcv_version, require_ffcv
from rewa.data.tree import read_tree
from rewa.errors import RunError, UserError

if TYPE_CHECKING:
    from rewa.data.beton_writer import EncodedImage

_PARTIAL = ".partial"

Progress = Callable[[str, int, int], None]
"""Called with the split being written, its images written so far, and all of its images."""


class StoreSettings(Settings):
    """How images are stored."""

    max_resolution: int = Field(
        default=500, ge=1, le=16384, description="longest side in pixels; larger images are shrunk"
    )
    quality: int = Field(default=90, ge=1, le=100, description="of images that are encoded as JPEG")
    jpeg_share: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="part of the images stored as JPEG, the rest as pixels; None: JPEGs of more than 64 "
        "pixels as JPEG, small ones and other formats as pixels",
    )

    @property
    def summary(self) -> str:
        """One line that stands in every result made from the files."""
        share = "as in the source" if self.jpeg_share is None else f"{self.jpeg_share:g} JPEG"
        return f"at most {self.max_resolution} px, {share}, quality {self.quality}"


def write_beton(
    source: Path, dest: Path, settings: StoreSettings, workers: int, progress: Progress | None = None
) -> Contents:
    """Write one beton file per split of an image folder, and ``classes.json``.

    The files appear under their names when all are complete; if anything stops the writing, none is left.
    Equal input gives equal files.

    Args:
        source: Folder with train/ and val/ or test/ or both, of class folders; see
            :func:`rewa.data.tree.read_tree`.
        dest: Folder for the files; made if need be.
        settings: How to store.
        workers: Threads that read and encode.
        progress: Told how far it is.

    Returns:
        What ``classes.json`` says.

    Raises:
        UserError: If ffcv is missing, the source is no such folder or an image of it cannot be read, or the
            destination already holds such files.
        RunError: If the files cannot be written, such as on a full disk.
    """
    require_ffcv("Writing beton files")
    _check_free(dest)
    classes, folders = _folders(source)
    made = not dest.exists()
    written = [dest / CONTENTS]
    try:
        dest.mkdir(parents=True, exist_ok=True)
        listed = {}
        for split, (paths, labels) in folders.items():
            written.append(dest / f"{split}.beton{_PARTIAL}")
            _write_split(written[-1], split, paths, labels, settings, workers, progress)
            listed[f"{split}.beton"] = _listed(written[-1])
        contents = Contents(
            classes=classes,
            stored=settings.summary,
            settings=settings.model_dump(),
            versions={"rewa": __version__, "ffcv": ffcv_version()},
            files=listed,
        )
        # The list first: should the renaming be cut off, the reader misses what is listed.
        contents.write(dest)
        for path in written[1:]:
            path.rename(path.with_suffix(""))
    except BaseException as error:
        for path in written:
            path.unlink(missing_ok=True)
        if made and dest.is_dir() and not any(dest.iterdir()):
            dest.rmdir()
        if isinstance(error, OSError):
            raise RunError(
                f"writing to {dest} stopped: {error.strerror or error}; nothing is kept, run the command "
                "again when that is repaired"
            ) from error
        raise
    return contents


def _check_free(dest: Path) -> None:
    if dest.exists() and not dest.is_dir():
        raise UserError(f"{dest} is a file; name a folder for the beton files.")
    for name in (CONTENTS, *(f"{split}.beton" for split in SPLITS)):
        if (dest / name).exists():
            raise UserError(f"{dest / name} exists and is not overwritten; name another folder or delete it.")
        if (left := dest / f"{name}{_PARTIAL}").exists():
            raise UserError(
                f"{left} exists: another process is writing there or was killed; in the second case delete "
                "it and run the command again."
            )


def _folders(source: Path) -> tuple[tuple[str, ...], dict[str, tuple[list[Path], NDArray[np.int64]]]]:
    """Return the classes and, per folder on the disk, its files by class and path, and their labels."""
    tree = read_tree(source)
    depth = len(source.parts)
    found: dict[str, list[tuple[int, str, Path]]] = {}
    for split, paths in tree.files.items():  # of which one may have been held out of another's folder
        for path, label in zip(paths, tree.labels[split].tolist(), strict=True):
            found.setdefault(path.parts[depth], []).append((label, str(path), path))
    folders = {}
    for split in SPLITS:
        if entries := sorted(found.get(split, [])):
            labels = np.array([label for label, _, _ in entries], dtype=np.int64)
            folders[split] = [path for _, _, path in entries], labels
    return tree.classes, folders


def _write_split(
    path: Path,
    split: str,
    paths: Sequence[Path],
    labels: NDArray[np.int64],
    settings: StoreSettings,
    workers: int,
    progress: Progress | None,
) -> None:
    from rewa.data.beton_writer import BetonWriter
    from rewa.data.stored_image import most_bytes

    with BetonWriter(path, len(paths), most_bytes(settings.max_resolution)) as writer:
        for done, image in enumerate(_encoded(paths, settings, workers)):
            writer.add(image, int(labels[done]))
            if progress is not None:
                progress(split, done + 1, len(paths))
        writer.finish()


def _encoded(paths: Sequence[Path], settings: StoreSettings, workers: int) -> Iterator[EncodedImage]:
    """Yield the images in order, encoded by threads that are a few images ahead."""
    from rewa.data.stored_image import encode

    drawn = np.random.default_rng(0).random(len(paths))
    waiting: deque[Future[EncodedImage]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for place, path in enumerate(paths):
            as_jpeg = None if settings.jpeg_share is None else bool(drawn[place] < settings.jpeg_share)
            waiting.append(pool.submit(encode, path, as_jpeg, settings.max_resolution, settings.quality))
            if len(waiting) >= 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _listed(path: Path) -> FileContents:
    index = read_index(path)
    return FileContents(
        images=len(index.labels),
        bytes=path.stat().st_size,
        index_sha256=index.digest,
        block_crc32=tuple(block_checksums(path)),
    )
