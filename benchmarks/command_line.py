"""The options that benchmarks share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from rewa.errors import RunError, UserError


def parser_for(module: str, description: str | None, output: str) -> argparse.ArgumentParser:
    """Return a parser with ``--output``, ``--json`` and ``--scale``.

    Args:
        module: The benchmark's module, for its usage line.
        description: The module's docstring.
        output: Default output directory.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, default=Path(output), help=f"directory (default: {output})")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument(
        "--scale", choices=("smoke", "full"), default="full", help="smoke: a toy size, to try the command"
    )
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
