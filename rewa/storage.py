"""Files in storage that machines share, by URI: an object store, or a folder that all have mounted."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from rewa.credentials import refuse_password
from rewa.errors import UserError

if TYPE_CHECKING:
    from pyarrow import fs

SCHEMES = ("s3", "gs", "file")
"""What can be named: Amazon's and compatible stores, Google's, a mounted folder."""


class Store:
    """One place in shared storage; keys are relative paths below it.

    A file appears whole or not at all. Credentials come from where the provider's tools look for them: the
    environment, the user's own files, the machine's role.

    Args:
        uri: ``s3://bucket/path``, ``gs://bucket/path`` or ``file:///path``. Options may follow a question
            mark (``?endpoint_override=...``, ``?region=...``, as pyarrow reads them).

    Raises:
        UserError: If the URI is malformed, or holds a password.
    """

    def __init__(self, uri: str) -> None:
        self.uri = check_uri(uri)

    def child(self, name: str) -> Store:
        """Return a place within this one."""
        parts = urlsplit(self.uri)
        return Store(urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}")))

    def put(self, path: Path, key: str) -> None:
        """Copy a file there.

        Raises:
            OSError: If it cannot be written.
        """
        system, root = self._open()
        target = f"{root}/{key}"
        partial = target
        if self._is_folder:
            partial = f"{root}/{_hidden(key)}"
            system.create_dir(target.rpartition("/")[0], recursive=True)
        with path.open("rb") as source, system.open_output_stream(partial) as stream:
            shutil.copyfileobj(source, stream, 1 << 20)
        if partial != target:  # an object store shows an object when it is whole; a folder at once
            system.move(partial, target)

    def get(self, key: str, path: Path) -> bool:
        """Copy a file from there, and return whether it was there.

        Raises:
            OSError: If the storage cannot be read.
        """
        system, root = self._open()
        partial = path.with_name(f".{path.name}.partial")
        try:
            with system.open_input_stream(f"{root}/{key}") as source, partial.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        except FileNotFoundError:
            return False
        partial.replace(path)
        return True

    def rename(self, key: str, new: str) -> None:
        """Give a file another name; nothing happens where there is none."""
        from pyarrow import fs

        system, root = self._open()
        if system.get_file_info(f"{root}/{key}").type != fs.FileType.NotFound:
            system.move(f"{root}/{key}", f"{root}/{new}")

    def remove(self, key: str) -> None:
        """Delete a file, if it is there."""
        system, root = self._open()
        try:
            system.delete_file(f"{root}/{key}")
        except FileNotFoundError:
            return

    def keys(self, below: str = "") -> dict[str, int]:
        """Return the sizes in bytes of all files below a folder, by key."""
        from pyarrow import fs

        system, root = self._open()
        place = f"{root}/{below}".rstrip("/")
        found = system.get_file_info(fs.FileSelector(place, allow_not_found=True, recursive=True))
        files = [info for info in found if info.type == fs.FileType.File]
        return {info.path[len(root) + 1 :]: info.size for info in files if not info.base_name.startswith(".")}

    def __getstate__(self) -> dict[str, str]:
        return {"uri": self.uri}

    @property
    def _is_folder(self) -> bool:
        return self.uri.startswith("file:")

    def _open(self) -> tuple[fs.FileSystem, str]:
        """Return the file system, opened once per process, and the path within it."""
        if "_opened" not in self.__dict__:
            from pyarrow import fs

            system, root = fs.FileSystem.from_uri(self.uri)
            self._opened = system, root.rstrip("/")
        return self._opened


def check_uri(uri: str) -> str:
    """Return a storage URI if it is one; opens nothing.

    Raises:
        UserError: If it is malformed, of another kind, or holds a password.
    """
    refuse_password("--storage", uri)
    parts = urlsplit(uri)
    named = parts.path.strip("/") if parts.scheme == "file" else parts.netloc
    if parts.scheme not in SCHEMES or not named:
        raise UserError(f"--storage {uri}: must be s3://bucket/path, gs://bucket/path or file:///path")
    return uri.rstrip("/")


def check_storage(uri: str) -> None:
    """Refuse storage that cannot be written, by writing a small file and removing it.

    Raises:
        UserError: If it cannot.
    """
    store, key = Store(uri), f".rewa-probe-{uuid.uuid4().hex}"
    try:
        with tempfile.NamedTemporaryFile() as probe:
            store.put(Path(probe.name), key)
        store.remove(key)
    except Exception as error:  # pyarrow and the providers raise many kinds
        brief = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"--storage {uri}: cannot be used ({brief[:300]})") from None


def _hidden(key: str) -> str:
    """Return the name under which a file is written."""
    folder, slash, name = key.rpartition("/")
    return f"{folder}{slash}.{name}.partial"
