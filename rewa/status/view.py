"""A sweep's state for a person: tables that read well in 80 columns, on a terminal and in a log."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rewa.status.methods import Best
from rewa.status.state import Status

ENDINGS = {
    "finished": "its driver ended in order",
    "interrupted": "it was interrupted",
    "killed": "its driver was killed, or its machine stopped",
    "unknown": "why is not known",
}


def view(status: Status) -> RenderableType:
    """Return what is shown; to be printed without cropping, for the next command is not wrapped."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for label, value in _facts(status):
        facts.add_row(label, value)
    parts: list[RenderableType] = [_title(status), facts]
    if status.next:  # in one line however long, to be copied
        parts.append(Text(f"next: {status.next}", no_wrap=True, overflow="ignore"))
    if status.methods:
        parts += ["", _counts(status)]
    if any(state.best for state in status.methods.values()):
        parts += ["", _settings(status)]
    return Group(*parts)


def _title(status: Status) -> Text:
    """The first line: does it run, and if not, why."""
    driver, now = status.driver, time.time()
    if driver.running:
        where = f" on {driver.host}" if driver.host else ""
        process = f", process {driver.pid}" if driver.pid else ""
        since = f", for {_duration(now - driver.since)}" if driver.since else ""
        return Text(f"{status.sweep}: running{where}{process}{since}", style="bold green")
    if status.complete:
        return Text(f"{status.sweep}: complete", style="bold green")
    reason = (
        f"an error ended it: {driver.reason}" if driver.ended == "error" else ENDINGS.get(driver.ended, "")
    )
    if driver.ended == "finished":
        reason = "it was stopped before all was done"
    return Text(f"{status.sweep}: not running; {reason}", style="bold red")


def _facts(status: Status) -> list[tuple[str, Text]]:
    """The lines below the title."""
    at_most = "at most " if status.total_is_bound and not status.complete else ""
    share = f" ({100 * status.finished // status.total} %)" if status.total else ""
    rows = [
        ("phase", status.phase),
        ("trainings", f"{status.finished} of {at_most}{status.total}{share}"),
        ("rate", _rate(status)),
        ("last active", _ago(status.driver.last_active)),
        ("cluster", ", ".join(f"{value:g} {key}" for key, value in status.cluster.items())),
        ("MLflow", _tracking(status)),
        ("disk", _disk(status)),
    ]
    if failure := status.last_failure:
        rows.append(("last failure", f"{failure.trial}, {_ago(failure.at)}: {failure.reason}"))
    if (error := status.error) and (status.driver.running or status.driver.ended != "error"):
        rows.append(("earlier error", f"{_ago(error.at)}: {error.reason}"))
    rows += [("note", note) for note in status.notes]
    rows.append(("report", status.report))
    return [(label, Text(value)) for label, value in rows if value]


def _rate(status: Status) -> str:
    if status.per_hour is None:
        return ""
    rate = f"{status.per_hour:.0f}" if status.per_hour >= 10 else f"{status.per_hour:.1f}"
    if not status.seconds_left:
        return f"{rate} trainings per hour"
    end = datetime.fromtimestamp(time.time() + status.seconds_left)
    shown = end.strftime("%H:%M" if status.seconds_left < 86400 / 2 else "%Y-%m-%d %H:%M")
    return f"{rate} trainings per hour; about {_duration(status.seconds_left)} left, until {shown}"


def _tracking(status: Status) -> str:
    if status.untracked is None:
        return ""
    return f"{status.untracked} trainings are not there yet" if status.untracked else "has all trainings"


def _disk(status: Status) -> str:
    disk = status.disk
    parts = [f"{_bytes(disk.total)}"]
    if disk.records:
        parts.append(f"records {_bytes(disk.records)} ({_bytes(disk.per_record)} each)")
    if disk.checkpoint_files:
        noun = "file" if disk.checkpoint_files == 1 else "files"
        parts.append(f"checkpoints {_bytes(disk.checkpoints)} ({disk.checkpoint_files} {noun})")
    if disk.scratch:
        parts.append(f"scratch {_bytes(disk.scratch)}")
    return ": ".join((parts[0], ", ".join(parts[1:]))) if len(parts) > 1 else parts[0]


def _counts(status: Status) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", pad_edge=False)
    table.add_column("method", overflow="fold", min_width=8)
    for name in ("planned", "completed", "diverged", "failed", "running", "confirmed", "best"):
        table.add_column(name, justify="right", no_wrap=True)
    for method, state in status.methods.items():
        table.add_row(
            method,
            str(state.planned) if state.planned else "?",
            *(str(count) if count else "-" for count in (state.completed, state.diverged, state.failed)),
            str(state.running) if state.running else "-",
            # how many there will be shows with the choice of settings: before, there is a bound
            f"{state.confirmed}/{state.confirm_planned}"
            if state.confirm_planned and not status.complete
            else str(state.confirmed),
            f"{state.best.score:.4f}" if state.best else "-",
        )
    return table


def _settings(status: Status) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    table.add_column("best trial", no_wrap=True)
    table.add_column("its setting", overflow="fold")
    for state in status.methods.values():
        if state.best:
            table.add_row(state.best.trial, _setting(state.best))
    return table


def _setting(best: Best) -> str:
    return " ".join(f"{key}={_value(value)}" for key, value in best.config.items())


def _value(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:g}" if value.is_integer() else f"{value:.3g}"


def _bytes(count: float) -> str:
    """Write a size: ``812 B``, ``4.1 kB``, ``2.3 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _duration(seconds: float) -> str:
    """Write ``45 s``, ``12 min``, ``3 h 20 min`` or ``2 d 4 h``."""
    if seconds < 120:
        return f"{max(0.0, seconds):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def _ago(at: float) -> str:
    """Write how long ago something was, and for older things the date."""
    if at <= 0:
        return ""
    passed = time.time() - at
    date = datetime.fromtimestamp(at).strftime(", %Y-%m-%d %H:%M") if passed >= 600 else ""
    return f"{_duration(passed)} ago{date}"
