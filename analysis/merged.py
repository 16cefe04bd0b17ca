"""What a merged report says of the sweeps it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis import text


def merged_sweeps(meta: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sweeps that were merged, as `analysis.merge` describes them; empty for a sweep of its own."""
    found = meta.get("merged")
    return [part for part in found if isinstance(part, dict)] if isinstance(found, list) else []


def merged_sentences(meta: Mapping[str, Any]) -> list[str]:
    """Name the sweeps and their budgets, for the first lines; none for a sweep of its own."""
    parts = merged_sweeps(meta)
    if not parts:
        return []
    named = [
        f"{part['sweep']} ({_budget(part)} trials per method, seed {part['search_seed']})" for part in parts
    ]
    sentence = f"Merged from the sweeps {text.join(named)}"
    if shared := int(meta.get("shared") or 0):
        noun = "training that more than one of them has is" if shared == 1 else "trainings that more than"
        noun = noun if shared == 1 else f"{noun} one of them has are"
        sentence += f"; {shared} {noun} counted once"
    return [f"{sentence}."]


def merged_caveats(meta: Mapping[str, Any]) -> list[str]:
    """What weakens the comparison in single sweeps of the merged ones."""
    parts = merged_sweeps(meta)
    sentences = []
    for part in parts:
        planned, counts = part["trials_per_method"], list(part["trials"].values())
        if len(set(counts)) > 1:
            told = text.join([f"{method} {count}" for method, count in part["trials"].items()])
            sentences.append(f"In {part['sweep']} the methods did not get equal numbers of trials: {told}.")
        elif planned and counts and counts[0] < int(planned):
            sentences.append(
                f"Of {planned} planned trials per method, {counts[0]} were run in {part['sweep']}."
            )
    commits = {part["sweep"]: part["commit"] for part in parts if part["commit"]}
    if len(set(commits.values())) > 1:
        told = text.join([f"{name} {commit[:12]}" for name, commit in commits.items()])
        sentences.append(f"The merged sweeps ran at different commits of rewa: {told}.")
    return sentences


def merged_rows(meta: Mapping[str, Any], links: Mapping[str, str]) -> list[dict[str, Any]]:
    """The table of the merged sweeps; ``links`` has the addresses of their own reports, if there are any."""
    return [
        {
            "sweep": part["sweep"],
            "link": links.get(part["sweep"], ""),
            "trials": _budget(part),
            "seed": part["search_seed"],
            "confirm": _confirmation(part),
            "started": part["started"],
            "commit": part["commit"][:12],
            "counted": f"{part['counted']} of {part['runs']}",
            "command": f"rewa ui --sweep {part['sweep']}",
        }
        for part in merged_sweeps(meta)
    ]


def _budget(part: Mapping[str, Any]) -> str:
    return str(part["trials_per_method"] or "?")


def _confirmation(part: Mapping[str, Any]) -> str:
    seeds = ", ".join(str(seed) for seed in part["confirm_seeds"])
    return f"{part['confirm_settings']} settings, seeds {seeds}" if seeds else text.DASH
