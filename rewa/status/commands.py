"""The command that comes next, made from the one that a sweep was started with."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rewa.status.plain import text

SETTLED = ("--trials", "--seed", "--output")
"""Options that a resumption finds in the output directory, or is given anew."""


def resume_command(meta: Mapping[str, Any], folder: Path) -> str:
    """Return the command that goes on with a sweep."""
    words = _words(meta)
    if words[:2] != ["rewa", "sweep"]:
        words = ["rewa", "sweep", "SPACE"]
    kept = _without(words, SETTLED)
    return shlex.join([*(word for word in kept if word != "--resume"), "--output", str(folder), "--resume"])


def report_command(meta: Mapping[str, Any], folder: Path) -> str:
    """Return the command that writes a sweep's report."""
    uri = _option(_words(meta), "--tracking-uri")
    store = ["--tracking-uri", uri] if uri else []
    name = text(meta, "sweep") or folder.name
    return shlex.join(["python", "-m", "analysis.report", "--sweep", name, "--output", str(folder), *store])


def _words(meta: Mapping[str, Any]) -> list[str]:
    try:
        return shlex.split(text(meta, "command"))
    except ValueError:
        return []


def _without(words: list[str], options: tuple[str, ...]) -> list[str]:
    """Return a command's words without some options and their values."""
    kept, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word in options:
            skip = True
        elif not word.startswith(tuple(f"{option}=" for option in options)):
            kept.append(word)
    return kept


def _option(words: list[str], option: str) -> str:
    """Return an option's value; empty without one."""
    for place, word in enumerate(words):
        if word == option:
            return words[place + 1] if place + 1 < len(words) else ""
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return ""
