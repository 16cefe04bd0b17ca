"""The options that benchmarks share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from rewa.errors import RunError, UserError


def parser_for(module: str, description: str | None, output: str, small: str = "") -> argparse.ArgumentParser:
    """Return a parser with ``--output``, ``--json`` and ``--scale``.

    Args:
        module: The benchmark's module, for its usage line.
        description: The module's docstring.
        output: Default output directory.
        small: What ``--scale small`` does; empty for a benchmark that has no such scale.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, default=Path(output), help=f"directory (default: {output})")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    scales = ("smoke", "small", "full") if small else ("smoke", "full")
    what = "smoke: a toy size, to try the command" + (f"; small: {small}" if small else "")
    parser.add_argument("--scale", choices=scales, default="full", help=what)
    return parser


def run_command(module: str, main: Callable[[], None]) -> None:
    """Run a benchmark: exit status 0 done, 2 bad input (one sentence), 1 anything else."""
    try:
        main()
    except UserError as error:
        print(f"{module}: error: {error}", file=sys.stderr)
        sys.exit(2)
    except RunError as error:
        print(f"{module}: error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(
            f"{module}: interrupted; finished runs are kept, the same command goes on from there",
            file=sys.stderr,
        )
        sys.exit(1)
