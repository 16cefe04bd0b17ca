"""Trainings that wait to be written to MLflow: what to try next, and when. No thread and no clock."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rewa.credentials import brief
from rewa.record import Record

if TYPE_CHECKING:
    from rewa.tracking import Tracker

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between attempts while the store stays away; each pause is twice the last."""

TRIES = 5
"""How often a training is tried while the store itself opens, before the others go first until the end."""


@dataclass(frozen=True)
class Leftover:
    """What could not be written; everything of it is on disk.

    Attributes:
        records: Trainings that are not in the store.
        summary: Whether the sweep's summary is missing too.
        reason: The last error, in a line.
    """

    records: list[Record] = field(default_factory=list)
    summary: bool = False
    reason: str = ""

    def __bool__(self) -> bool:
        return bool(self.records) or self.summary

    def sentence(self, again: str) -> str:
        """Return what to tell the user; ``again`` is the command that writes what is missing."""
        count = len(self.records)
        what = f"{count} training{'s are' if count != 1 else ' is'}" if count else "the sweep's summary is"
        return f"{what} not in MLflow yet ({self.reason or 'no answer'}); `{again}` writes what is missing"


class Backlog:
    """Writes one thing at a time and survives every error of the store.

    After an error the tracker is opened again, which finds out what had been carried out all the same and
    removes what is half-written; so nothing is written twice.

    Args:
        open_tracker: Opens the store.
        notify: Told, in a line, when the store goes away and when it is back.
        name: The store's, for those lines.
    """

    def __init__(
        self, open_tracker: Callable[[], Tracker], notify: Callable[[str], None], name: str = "MLflow"
    ) -> None:
        self._open_tracker, self._notify, self._name = open_tracker, notify, name
        self.waiting: deque[Record] = deque()
        self.aside: list[Record] = []
        self.summary: Mapping[str, Any] | None = None
        self.reason = ""
        self._tracker: Tracker | None = None
        self._failures = 0
        self._tries: Counter[tuple[str, str, int]] = Counter()
        self._away = False
        self._written_since = 0
        self._unsure = self._last_round = False

    @property
    def idle(self) -> bool:
        """Whether there is nothing to try, now."""
        return not self.waiting and self.summary is None

    @property
    def leftover(self) -> Leftover:
        """What is not written."""
        return Leftover([*self.waiting, *self.aside], self.summary is not None, self.reason)

    def retry_aside(self) -> None:
        """Give those that were put aside as many tries again."""
        while self.aside:
            record = self.aside.pop(0)
            self._tries[record.key] = 0
            self.waiting.append(record)

    def step(self) -> float:
        """Open the store if it is not open, and write what waits longest; the summary comes last.

        Returns:
            Seconds to wait before the next step; 0 after a success.

        Raises:
            SweepTakenError: If the store holds another sweep of this name: no use to try again.
        """
        from rewa.tracking import SweepTakenError

        if self.summary is not None and not self.waiting and not self._last_round:
            self._last_round = True
            self.retry_aside()
        record = self.waiting[0] if self.waiting else None
        summary = self.summary if record is None else None
        try:
            # Before the summary again: a request that was carried out late may have left half a run.
            if summary is not None and self._unsure:
                self._tracker = self._open_tracker()
                self._unsure = False
            elif self._tracker is None:
                self._tracker = self._open_tracker()
        except SweepTakenError as error:
            self.reason = str(error)
            raise
        except Exception as error:
            return self._failed(error, None)
        try:
            if record is not None:
                self._tracker.log(record)
            elif summary is not None:
                self._tracker.log_summary(summary)
        except Exception as error:
            return self._failed(error, record)
        self._succeeded(record, summary)
        return 0.0

    def _failed(self, error: Exception, record: Record | None) -> float:
        """Note an error and return the pause; ``record`` is what could not be written in an open store."""
        self._tracker = None
        self._unsure = True
        self.reason = getattr(error, "reason", "") or brief(error)
        self._failures += 1
        if record is not None:
            self._tries[record.key] += 1
            if self._tries[record.key] < TRIES:
                self.waiting.append(record)
            else:
                self.aside.append(record)
                self._notify(f"{record.trial} cannot be written to MLflow so far ({self.reason})")
            self.waiting.popleft()
        if self._failures == 2 and not self._away:
            self._away = True
            self._written_since = 0
            self._notify(
                f"{self._name} cannot be written now ({self.reason}); the sweep goes on, its results are on "
                "disk and are written when it is back"
            )
        return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures - 1, 10))

    def _succeeded(self, record: Record | None, summary: Mapping[str, Any] | None) -> None:
        """Take what was written off the list."""
        self._failures = 0
        if not self.aside:
            self.reason = ""
        if record is not None:
            self.waiting.popleft()
            self._written_since += 1
        elif summary is self.summary and not self.waiting:
            self.summary = None
        if self._away and not self.waiting:
            self._away = False
            self._notify(f"{self._name} is back: {self._written_since} trainings written that had waited")
