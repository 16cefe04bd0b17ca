"""What the paper claims, and what was found: one verdict each, always with the numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["reproduced", "partly", "not reproduced"]


@dataclass(frozen=True)
class Claim:
    """One claim and its verdict.

    Attributes:
        text: What the paper says.
        source: Where it says so.
        verdict: What became of it here.
        evidence: The numbers, in a sentence or two.
    """

    text: str
    source: str
    verdict: Verdict
    evidence: str


def judge(holds: Iterable[bool]) -> Verdict:
    """Return "reproduced" if all parts hold, "not reproduced" if none does, else "partly"."""
    parts = list(holds)
    if all(parts):
        return "reproduced"
    return "partly" if any(parts) else "not reproduced"


def claims_table(claims: Iterable[Claim], heading: str = "the paper claims") -> str:
    """Return the claims as a Markdown table; the heading says whose they are."""
    lines = [f"| {heading} | here | the numbers |", "|---|---|---|"]
    lines += [f"| {c.text} ({c.source}) | **{c.verdict}** | {c.evidence} |" for c in claims]
    return "\n".join(lines)
