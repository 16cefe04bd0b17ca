"""``rewa sweep``: checks everything that can be checked at once, runs, and says where things are."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from rewa.errors import RunError, UserError
from rewa.storage import check_storage, check_uri
from rewa.store_uri import check_store, redacted, resolve_uri
from rewa.sweep.executor import check_address, check_local_resources
from rewa.sweep.opening import SweepRequest, open_sweep
from rewa.sweep.run import SweepOutcome, run_sweep
from rewa.sweep.space_file import find_space, load_space
from rewa.workloads import get_workload


def sweep(
    space: str,
    *,
    name: str | None,
    trials: int | None,
    seed: int | None,
    output: Path | None,
    tracking_uri: str | None,
    storage: str | None,
    address: str | None,
    resume: bool,
) -> int:
    """Run or resume a sweep.

    Args:
        space: A YAML file, or a name in search_spaces/.
        name: Of the sweep; default: the space's.
        trials: Per method.
        seed: Of the search.
        output: Directory; default: results/<name>.
        tracking_uri: As for :func:`rewa.store_uri.resolve_uri`.
        storage: URI of shared storage; default: REWA_STORAGE.
        address: Of a Ray cluster.
        resume: Whether to go on with a sweep in the directory.

    Returns:
        The exit status: 0 complete, 1 stopped early.

    Raises:
        UserError: For what the user can mend.
        RunError: If the sweep breaks off.
    """
    path = find_space(space)
    loaded = load_space(path)
    uri = resolve_uri(tracking_uri)
    check_store(uri)
    storage = storage or os.environ.get("REWA_STORAGE") or None
    if storage:
        check_storage(check_uri(storage))
    get_workload(loaded.workload_name).Config.parse(
        loaded.workload_settings, f"workload {loaded.workload_name!r}"
    )
    if address is None:
        check_local_resources(loaded.resources)
    else:
        check_address(address)
    target = output or Path("results") / (name or loaded.name)
    settled, folder = open_sweep(
        SweepRequest(loaded, path.read_text(), target, resume, name, trials, seed, storage)
    )
    again = _command(
        ["rewa", "sweep", space, "--output", str(target), "--resume"],
        {"--name": name, "--tracking-uri": tracking_uri, "--storage": storage, "--address": address},
    )
    try:
        outcome = run_sweep(settled, folder, uri, address)
    except UserError:
        raise
    except KeyboardInterrupt:
        _interrupted(again)
    except Exception as error:
        details = ""
        with suppress(OSError):  # a full disk may be what stopped it
            details = f" (details in {folder.write_error()})"
        raise RunError(
            f"the sweep stopped: {_brief(error)}{details}; nothing finished is lost, go on with: {again}"
        ) from error
    finally:
        folder.unlock()
    report = _command(
        ["python", "-m", "analysis.report", "--sweep", settled.name, "--output", str(target)],
        {"--tracking-uri": tracking_uri},
    )
    return _tell(outcome, settled.name, target, redacted(uri), again, report)


def _brief(error: Exception) -> str:
    """Return the line of an error's text that says most; Tune's own errors hold a whole traceback."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return redacted(lines[-1] if lines[0].startswith("Traceback") else lines[0])


def _tell(outcome: SweepOutcome, name: str, target: Path, uri: str, again: str, report: str) -> int:
    """Say how the sweep ended and what comes next; return the exit status."""
    counts = ", ".join(f"{count} {status}" for status, count in sorted(outcome.counts.items()))
    if not outcome.complete:
        print(f"stopped early: {counts or 'no trainings yet'}; nothing is lost. Go on with: {again}")
        return 1
    state = "complete" if outcome.ran else "already complete"
    print(f"sweep {name!r} is {state}: {counts} trainings in {target}, runs in {uri}")
    if outcome.untracked:
        print(outcome.untracked.sentence(again))
    if outcome.ran == 0 and outcome.folder.report.is_file():
        print(f"report: {outcome.folder.report}")
    else:
        print(f"next: {report}")
    return 0


def _interrupted(again: str) -> NoReturn:
    """Say how to go on, and end with the status of an interrupted command."""
    print(f"stopped early: nothing finished is lost. Go on with: {again}")
    sys.exit(1)


def _command(words: list[str], options: dict[str, str | None]) -> str:
    """Return a command line with the options that were given."""
    given = [word for key, value in options.items() if value for word in (key, value)]
    return shlex.join([*words, *given])
