"""State files of torch with a seal: a checksum of every byte, and nothing in them that could run or grow."""

from __future__ import annotations

import pickletools
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import torch

_MARK = b"rewa crc32 "
_SEAL = struct.Struct("<H11s8s")
"""Length of the zip file's comment, and the comment: the mark and the checksum in hexadecimal digits.

The checksum is that of the file as torch wrote it, where the length is 0 and the comment is not there.
"""

_BLOCK = 1 << 20


def write_sealed(state: Any, file: IO[bytes]) -> None:
    """Write what ``torch.save`` writes, with a seal as the zip file's comment; ``torch.load`` reads it too.

    Args:
        state: Tensors and plain data.
        file: Binary file at its beginning, for writing.

    Raises:
        OSError: If it cannot be written.
    """
    summed = _Summed(file)
    target: Any = summed  # torch asks for no more than write and flush
    try:
        torch.save(state, target)
    except RuntimeError:  # torch closes its archive, and fails at that, in place of the error of the file
        if summed.error is None:
            raise
        raise summed.error from None
    if summed.last != bytes(2):
        raise RuntimeError("torch.save no longer ends a file with an empty comment.")
    file.seek(-2, 2)
    file.write(_SEAL.pack(_SEAL.size - 2, _MARK, b"%08x" % summed.crc))


def read_sealed(path: Path) -> Any:
    """Return the state of a file, on the CPU, without running code from it.

    Files without a seal, as ``torch.save`` alone writes them, are checked by the checksums of their parts.

    Raises:
        ValueError: If the checksum is wrong, or the file holds more than its bytes.
        Exception: Of many other kinds, if it is no such file.
    """
    sealed = _check_seal(path)
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        if not stored or sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ValueError("its parts are compressed or overlap")
        if not sealed and (damaged := archive.testzip()):
            raise ValueError(f"the checksum of {damaged} is wrong")
        for entry in entries:
            if entry.filename.endswith("data.pkl"):
                _check_names(archive.read(entry))
    return torch.load(path, map_location="cpu", weights_only=True)


def _check_seal(path: Path) -> bool:
    """Return whether a file has a seal.

    Raises:
        ValueError: If its seal is broken.
    """
    left = path.stat().st_size - _SEAL.size
    if left < 0:
        return False
    crc = 0
    with path.open("rb") as file:
        file.seek(left)
        length, mark, digits = _SEAL.unpack(file.read(_SEAL.size))
        if mark != _MARK:
            return False
        file.seek(0)
        while left and (block := file.read(min(left, _BLOCK))):
            crc = zlib.crc32(block, crc)
            left -= len(block)
    if length != _SEAL.size - 2 or digits != b"%08x" % zlib.crc32(bytes(2), crc):
        raise ValueError("its checksum is wrong")
    return True


def _check_names(pickled: bytes) -> None:
    """Refuse what torch's reader allows although a few bytes of it can ask for any amount of memory."""
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name == "GLOBAL" and str(argument).endswith(" bytearray"):
            raise ValueError("it asks for a bytearray")


class _Summed:
    """A file that sums up what is written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.crc = 0
        self.last = b""
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        self.crc = zlib.crc32(data, self.crc)
        self.last = bytes(data[-2:])
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()
