"""What the paper and the authors' curves say of Figure 3a, judged on the runs at hand."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from benchmarks.claims import Claim, Verdict, judge
from benchmarks.image_points import Over, at_ratio, best_at, reach

REWA = "figure3a/rewa"
DROP = 2.0
"""Points of accuracy within which a network counts as having kept it."""
FAR = 100
"""Compression at which ReWA is compared: the paper's own number is illegible, its curve falls beyond it."""


def findings(points: pd.DataFrame, chance: float) -> list[Claim]:
    """Judge each claim whose settings ran; a setting counts with its means over seeds.

    Args:
        points: What ran.
        chance: Accuracy of a guess, as a fraction. Where ReWA is not above twice that, nothing is judged.
    """
    floor = 200 * chance
    best = best_at(points, REWA, 1)
    if best is None or best.mean <= floor:
        return []
    ran = list(points["preset"].unique())
    found: list[Claim] = []
    found.append(_keeps(points, floor))
    if rivals := [p for p in ran if p.startswith(("figure3a/sgd_l1", "figure3a/spred"))]:
        found.append(_leads(points, rivals))
    for other, judged in (
        ("figure3a/rewa_no_M_eps", _adaptive_rate_extends),
        ("figure3a/rewa_K2.25_M1.25", _same_exponent_differs),
    ):
        if other in ran:
            found.append(judged(points, other, floor))
    pair = ("figure3a/rewa_no_M_eps", "figure3a/rewa_no_wd_M_eps")
    if set(pair) <= set(ran):
        found.append(_comparable(points, *pair))
    return found


def _keeps(points: pd.DataFrame, floor: float) -> Claim:
    """ReWA's accuracy at 100x is within two points of its best."""
    top, far = best_at(points, REWA, 1), best_at(points, REWA, FAR)
    fair = reach(points, REWA, DROP, "ratio", floor)
    least = max(floor, (top.mean if top else 0.0) - DROP)
    return Claim(
        "ReWA keeps its accuracy up to a high compression",
        "4.2; the ratio is illegible, the authors' curve keeps it to 100x",
        judge([far is not None and far.mean >= least, fair >= FAR]),
        f"best {_text(top)} %, at {FAR}x and beyond {_text(far)} %; by target ratio within {DROP:g} points "
        f"up to {_times(fair)}",
    )


def _leads(points: pd.DataFrame, rivals: list[str]) -> Claim:
    """ReWA is above every baseline at 100x, on both axes."""

    def compare(value: Callable[[str], Over | None]) -> tuple[bool, str]:
        ours = value(REWA)
        others = {p: v for p in rivals if (v := value(p)) is not None}
        if ours is None or not others:
            return ours is not None, f"ReWA {_text(ours)} %, no baseline gets there"
        best = max(others, key=lambda p: others[p].mean)
        return ours.mean > others[best].mean, (
            f"ReWA {_text(ours)} %, the best baseline ({best.partition('/')[2]}) {_text(others[best])} %"
        )

    paper, by_threshold = compare(lambda p: best_at(points, p, FAR))
    fair, by_ratio = compare(lambda p: at_ratio(points, p, FAR))
    return Claim(
        "the baselines lose their accuracy earlier",
        "4.2, Figure 3a",
        judge([paper, fair]),
        f"at {FAR}x and beyond, by threshold: {by_threshold}; by target ratio: {by_ratio}. The baselines' "
        "rate is not tuned here, as in the paper",
    )


def _adaptive_rate_extends(points: pd.DataFrame, other: str, floor: float) -> Claim:
    """With M = 2 the reach is at least twice that with M = 0."""
    verdict, numbers = _twice_the_reach(points, other, ("M=2", "M=0"), floor)
    return Claim(
        "the adaptive rate (M = 2) substantially extends the compression",
        "D.5, Figure 3a",
        verdict,
        f"within {DROP:g} points of its own best up to: {numbers}",
    )


def _same_exponent_differs(points: pd.DataFrame, other: str, floor: float) -> Claim:
    """K = 2.25, M = 1.25 reaches less than half as far, although its exponent is the same."""
    verdict, numbers = _twice_the_reach(points, other, ("K=9", "K=2.25"), floor)
    return Claim(
        "settings with the same exponent p = 0.889 still differ: K = 2.25, M = 1.25 compresses less",
        "Remark 3.5; the authors' curves",
        verdict,
        numbers,
    )


def _twice_the_reach(
    points: pd.DataFrame, other: str, names: tuple[str, str], floor: float
) -> tuple[Verdict, str]:
    """Judge whether full ReWA reaches at least twice as far as another setting, on both axes."""
    pairs = {
        kind: [reach(points, preset, DROP, kind, floor) for preset in (REWA, other)]
        for kind in ("threshold", "ratio")
    }
    axes = {"threshold": "by threshold", "ratio": "by target ratio"}
    numbers = "; ".join(
        f"{axes[kind]} {names[0]} {_times(ours)}, {names[1]} {_times(theirs)}"
        for kind, (ours, theirs) in pairs.items()
    )
    return judge(ours >= 2 * theirs for ours, theirs in pairs.values()), numbers


def _comparable(points: pd.DataFrame, decayed: str, plain: str) -> Claim:
    """At M = 0 decay changes the accuracy at every moderate target ratio by less than two points."""
    gaps = {}
    for ratio in (1, 2, 5, 10):
        one, other = at_ratio(points, decayed, ratio), at_ratio(points, plain, ratio)
        if one and other:
            gaps[ratio] = one.mean - other.mean
    return Claim(
        "without the adaptive rate, decay makes little difference",
        "D.5, Figure 3a",
        judge(abs(gap) <= DROP for gap in gaps.values()),
        "with minus without decay, M = 0, by target ratio: "
        + ", ".join(f"{ratio}x {gap:+.2f}" for ratio, gap in gaps.items())
        + " points",
    )


def _text(value: Over | None) -> str:
    return "none" if value is None else str(value)


def _times(value: float) -> str:
    return f"{value:.0f}x"
