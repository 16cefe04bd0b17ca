"""The optional package ffcv: whether it is there, and what its import must not change."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata

import torch

from rewa.errors import UserError

DEBIAN = "libopencv-dev libturbojpeg0-dev pkg-config g++"
"""Debian packages that building ffcv needs."""


def require_ffcv(purpose: str) -> None:
    """Import ffcv, so that what follows can; the import takes some seconds.

    Args:
        purpose: What needs it, as the subject of the message.

    Raises:
        UserError: If it is not installed, or its libraries are not found.
    """
    try:
        with torch_threads_kept():
            importlib.import_module("ffcv.loader")
    except (ImportError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{purpose} needs FFCV, which cannot be imported ({reason}): run `make ffcv` in a checkout, or "
            f"install the Debian packages {DEBIAN} and then pip install 'rewa[ffcv]'."
        ) from error


def ffcv_version() -> str:
    """Return the version of the installed distribution; the package's own attribute is out of date."""
    return metadata.version("ffcv")


@contextmanager
def torch_threads_kept() -> Iterator[None]:
    """Set torch's thread count back afterwards: importing ffcv and making its loader change it."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
