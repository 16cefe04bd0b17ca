"""A folder of beton files: its list of contents, and the check of a file before anything decodes from it.

FFCV trusts what a file says of itself: a wrong address in it is a read beyond the end of the memory. So all
that decoding relies on is checked here, in a second for a million images; :func:`read_index` needs ffcv.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from rewa.atomic import write_text
from rewa.config import Settings, one_line, sentence_for, shown
from rewa.data.beton_views import Stored
from rewa.errors import UserError

CONTENTS = "classes.json"
SPLITS = ("train", "val", "test")

_JPEG, _RAW = 0, 1
_MOST_CLASSES = 1_000_000  # what is above is damage
_MOST_CONTENTS = 1 << 28  # bytes of a list
_LEAST_JPEG = 4096  # of the pixels' bytes for one of the JPEG's, about four times what the format can do
BLOCK = 8 << 20
"""Bytes of a file that share a checksum."""
_AGAIN = "write it again with `rewa data write-beton`"


class FileContents(Settings):
    """What stands in the list of contents of one beton file."""

    images: int = Field(ge=1)
    bytes: int = Field(ge=1)
    index_sha256: str = Field(description="of everything but the images' own bytes")
    block_crc32: tuple[int, ...] = Field(
        default=(),
        description="of every 8 MiB of the file, the last shorter; none in files of earlier versions",
    )


class Contents(Settings):
    """What ``classes.json`` holds."""

    classes: tuple[str, ...] = Field(description="in the order of the labels")
    stored: str = Field(description="how the images were stored, for a reader of results")
    settings: dict[str, Any]
    versions: dict[str, str]
    files: dict[str, FileContents]

    def write(self, folder: Path) -> None:
        """Write ``classes.json``."""
        write_text(folder / CONTENTS, json.dumps(self.model_dump(), indent=1) + "\n")


@dataclass(frozen=True)
class BetonIndex:
    """What a beton file says of its images.

    Attributes:
        path: The file.
        fields: Names of its fields.
        images: All images.
        labels: Their classes, int64, shape (n,).
        starts: Where their bytes begin, int64, shape (n,).
        lengths: How many bytes they have, int64, shape (n,).
        digest: SHA-256 of what was read.
    """

    path: Path
    fields: tuple[str, ...]
    images: Stored
    labels: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    digest: str


def is_beton_folder(root: Path) -> bool:
    """Say whether a folder holds beton files."""
    return any((root / f"{split}.beton").is_file() for split in SPLITS)


def read_contents(root: Path) -> Contents | None:
    """Read ``classes.json`` and compare the sizes it names with the files'; ``None`` if there is none.

    Raises:
        UserError: If it cannot be understood, or a file is missing or of another size.
    """
    path = root / CONTENTS
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _MOST_CONTENTS:
            raise UserError(f"{path}: has more than {_MOST_CONTENTS:,} bytes; {_AGAIN}.")
        contents = Contents.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
    except ValidationError as error:
        raise UserError(f"{path}: {sentence_for(Contents, error)[1]}; {_AGAIN}.") from None
    for name, expected in contents.files.items():
        if name not in {f"{split}.beton" for split in SPLITS}:
            raise UserError(f"{path}: lists {shown(name)}, which is none of its files; {_AGAIN}.")
        file = root / name
        if not file.is_file():
            raise UserError(f"{file} is missing, which {path} lists; copy it there or {_AGAIN}.")
        if (size := file.stat().st_size) != expected.bytes:
            raise UserError(
                f"{file} has {size:,} bytes instead of {expected.bytes:,}; copy it again or {_AGAIN}."
            )
    return contents


def read_index(path: Path, contents: Contents | None = None) -> BetonIndex:
    """Read and check all of a beton file but the images.

    Args:
        path: The file, written by rewa or by FFCV, with an image field "image" and an int field "label".
        contents: The folder's list, if it has one.

    Raises:
        UserError: Naming the file and what is wrong with it.
    """
    from ffcv.fields import IntField, RGBImageField
    from ffcv.types import ALLOC_TABLE_TYPE, CURRENT_VERSION, FieldDescType, HeaderType, get_metadata_type

    digest = hashlib.sha256()
    kinds = {2: RGBImageField(), 1: IntField()}
    with _opened(path) as file:
        size = path.stat().st_size
        header = _read(file, path, HeaderType, 1, digest)[0]
        if header["version"] != CURRENT_VERSION or header["num_fields"] != 2:
            _refuse(path, "it is no beton file of the fields image and label")
        described = _read(file, path, FieldDescType, 2, digest)
        stored_names = [bytes(name) for name in described["name"]]
        if not all(name.isascii() for name in stored_names):
            _refuse(path, "its header is damaged")
        names = tuple(name.split(b"\0")[0].decode() for name in stored_names)
        types = dict(zip(names, described["type_id"].tolist(), strict=True))
        if types != {"image": 2, "label": 1}:
            _refuse(path, f"its fields are {' and '.join(names)}, not an image and an int label")
        rows = _read(
            file,
            path,
            get_metadata_type([kinds[types[n]] for n in names]),
            int(header["num_samples"]),
            digest,
        )
        first = file.tell()
        table_at = int(header["alloc_table_ptr"])
        entries, rest = divmod(size - table_at, ALLOC_TABLE_TYPE.itemsize)
        page = int(header["page_size"])
        if len(rows) == 0 or rest or not first <= table_at < size or page < 2 or page & (page - 1):
            _refuse(path, "it ends early or its header is damaged")
        file.seek(table_at)
        table = _read(file, path, ALLOC_TABLE_TYPE, entries, digest)
    image, label = (rows[f"f{names.index(name)}"] for name in ("image", "label"))
    lengths = _checked_lengths(path, image, table, first, table_at)
    if label.min() < 0 or label.max() >= _MOST_CLASSES:
        _refuse(path, f"it has labels outside 0 ... {_MOST_CLASSES - 1:,}")
    index = BetonIndex(
        path,
        names,
        Stored(np.arange(len(rows)), image["height"].astype(np.int64), image["width"].astype(np.int64)),
        label.astype(np.int64),
        image["data_ptr"].astype(np.int64),
        lengths.astype(np.int64),
        digest.hexdigest(),
    )
    if contents is not None:
        _check_listed(index, contents)
    return index


def block_checksums(path: Path) -> Iterator[int]:
    """Yield the CRC-32 of every ``BLOCK`` bytes of a file."""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield zlib.crc32(block)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from None


def _read(file: BinaryIO, path: Path, kind: np.dtype[Any], count: int, digest: Any) -> NDArray[Any]:
    """Read ``count`` items, which must all be there."""
    if count * kind.itemsize > path.stat().st_size:
        _refuse(path, "it ends early or its header is damaged")
    data = file.read(count * kind.itemsize)
    if len(data) != count * kind.itemsize:
        _refuse(path, "it ends early or its header is damaged")
    digest.update(data)
    return np.frombuffer(data, dtype=kind)


def _checked_lengths(
    path: Path, image: NDArray[Any], table: NDArray[Any], first: int, end: int
) -> NDArray[np.uint64]:
    """Return the images' bytes; refuse one that lies outside the file or is too large for its place."""
    table = table[np.argsort(table["ptr"])]
    starts, lengths = table["ptr"], table["size"]
    inside = (starts <= end) & (lengths <= end)  # before the sum, which could wrap around
    if len(table) == 0 or starts[0] < first or not (inside & (starts + lengths <= end)).all():
        _refuse(path, "its table of addresses is damaged")
    place = np.minimum(np.searchsorted(starts, image["data_ptr"]), len(table) - 1)
    pixels = image["height"].astype(np.uint64) * image["width"] * np.uint64(3)
    sound = (starts[place] == image["data_ptr"]) & (pixels > 0) & (lengths[place] > 0)
    jpeg = (image["mode"] == _JPEG) & (pixels <= lengths[place] * np.uint64(_LEAST_JPEG))
    sound &= jpeg | ((image["mode"] == _RAW) & (lengths[place] == pixels))
    if not sound.all():
        _refuse(path, f"the entry of image {int(np.argmin(sound))} is damaged")
    found: NDArray[np.uint64] = lengths[place]
    return found


def _check_listed(index: BetonIndex, contents: Contents) -> None:
    listed = contents.files.get(index.path.name)
    if listed is None:
        _refuse(index.path, f"{CONTENTS} beside it does not list it")
    if listed.images != len(index.labels) or listed.index_sha256 != index.digest:
        _refuse(index.path, f"its index is not the one that {CONTENTS} beside it names")
    if index.labels.max() >= len(contents.classes):
        _refuse(index.path, f"it has labels beyond the {len(contents.classes)} classes of {CONTENTS}")


def _refuse(path: Path, problem: str) -> NoReturn:
    raise UserError(f"{path} cannot be used: {one_line(problem)}; {_AGAIN}.")
