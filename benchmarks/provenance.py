"""Where a measured figure comes from: command, machine, versions, commit, and how long it took."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rewa.environment import commit, hardware, versions
from rewa.record import write_text


@dataclass
class Provenance:
    """Started with a benchmark, asked at its end.

    Attributes:
        module: Name of the benchmark's module, such as ``benchmarks.figure1``.
    """

    module: str
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return time.monotonic() - self.started

    def facts(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "command": shlex.join(["python", "-m", self.module, *sys.argv[1:]]),
            "date": datetime.now(UTC).date().isoformat(),
            "machine": hardware(),
            "versions": versions(),
            "commit": commit(),
            "wall_seconds": round(self.seconds, 1),
        }

    def markdown(self) -> str:
        """Return a list for a results page."""
        facts = self.facts()
        listed = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
        return "\n".join(
            [
                f"- command: `{facts['command']}`",
                f"- machine: {facts['machine']}; {facts['date']}; {facts['wall_seconds']:.0f} s wall time",
                f"- versions: {listed}",
                f"- commit: {facts['commit']}",
            ]
        )


def write_json(path: Path, provenance: Provenance, figures: Any) -> None:
    """Write a benchmark's figures with their provenance."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"provenance": provenance.facts(), "figures": figures}
    write_text(path, json.dumps(content, indent=1) + "\n")


def publish(
    arguments: argparse.Namespace, name: str, text: str, provenance: Provenance, figures: Any
) -> None:
    """Write a benchmark's page and figures where its options say, print the page, and say where they are.

    Args:
        arguments: Of :func:`benchmarks.command_line.parser_for`: ``output`` and ``json``.
        name: Of the figures' file, without its ending.
        text: The page, in Markdown.
        provenance: Of the run.
        figures: Plain data.
    """
    output: Path = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / "README.md", text)
    write_json(output / f"{name}.json", provenance, figures)
    if arguments.json:
        write_json(arguments.json, provenance, figures)
    print(text)
    print(f"written: {output}/README.md, {output}/{name}.json")


def toy_note(scale: str) -> list[str]:
    """Return the warning that belongs on a page of toy figures; nothing at full scale."""
    if scale == "full":
        return []
    return ["**A toy size, to try the command: these verdicts and figures say nothing about the paper.**\n"]
