"""Ends a worker that hangs: a training that has stopped moving cannot be asked to stop."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import traceback
from collections.abc import Callable

EXIT_STATUS = 3
GRACE = 60.0
"""Seconds for the last words; a process that cannot say them, its interpreter being held, ends without."""


class Watchdog:
    """Ends this process if a block takes longer than it may.

    Args:
        seconds: How long it may take; infinite: no watch is kept.
        on_expiry: Called in a thread of its own with where the block was, before the process ends.
    """

    def __init__(self, seconds: float, on_expiry: Callable[[str], None]) -> None:
        self.seconds, self.on_expiry = seconds, on_expiry
        self._over = threading.Event()
        self._watched = threading.get_ident()

    def __enter__(self) -> Watchdog:
        if self.seconds < threading.TIMEOUT_MAX:
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
            # written in C, it also ends a process whose hanging call never lets go of the interpreter
            faulthandler.dump_traceback_later(self.seconds + GRACE, exit=True, file=sys.__stderr__ or 2)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        if self._over.wait(self.seconds):
            return
        try:
            self.on_expiry(self._where())
        finally:
            os._exit(EXIT_STATUS)

    def _where(self) -> str:
        """Return the innermost place of the watched thread, as ``file.py:12 in function``."""
        frame = sys._current_frames().get(self._watched)
        if frame is None:
            return "an unknown place"
        last = traceback.extract_stack(frame)[-1]
        return f"{os.path.basename(last.filename)}:{last.lineno} in {last.name}"
