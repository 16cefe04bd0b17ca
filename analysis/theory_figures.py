"""Figures of the theory page; each draws into a figure or a subfigure and leaves titles to its caller.

Curves come from ``rewa.theory``; whatever is an outcome of training was trained with ``rewa.ReWA``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from torch import Tensor, nn

from rewa import ReWA
from rewa.theory import (
    Clipping,
    clipped_lp,
    decay_budget,
    effective_p,
    implicit_regularizer,
    nonadaptive_stagnation_radius,
    stagnation_radius,
)

Array = npt.NDArray[np.float64]

BLACK, SKY, GREEN, BLUE, RED, PINK = (
    "#000000",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
"""Okabe and Ito's colours, distinguishable with the common colour deficiencies."""

GREY = "#666666"
SMALL = 9


def draw_regularizer(figure: FigureBase, narrow: bool) -> None:
    """R(x), relative to its value at the edge, for several settings of Configurations A and B."""
    left, right = _panels(figure, 2, narrow)
    by_m = {0: (GREY, ":"), 1: (BLACK, "-"), 2: (SKY, "-"), 5: (BLUE, "--"), 8: (RED, "-.")}
    for M, (color, dashes) in by_m.items():
        left.plot(*_relative(1.0, 9, M, 0.0), dashes, color=color, label=f"M = {M}, p = {_p(9, M, 0.0)}")
    left.set_title(r"$\epsilon = 0$, K = 9: Configuration A if M > 1", fontsize=10)
    left.set_ylabel("R(x) / R(1)")
    by_epsilon = {0.0: (GREY, ":"), 0.01: (SKY, "-"), 0.1: (BLUE, "--"), 1.0: (RED, "-.")}
    for epsilon, (color, dashes) in by_epsilon.items():
        label = rf"$\epsilon$ = {epsilon:g}, p = {_p(3, 0, epsilon)}"
        right.plot(*_relative(0.1, 3, 0, epsilon), dashes, color=color, label=label)
    right.set_title(r"K = 3, M = 0: Configuration B if $\epsilon > 0$", fontsize=10)
    right.set_ylabel("R(x) / R(0.1)")
    for axes in (left, right):
        axes.set_xlabel("weight x")
        axes.set_ylim(0, 1.05)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.09), ncols=2, frameon=False, fontsize=SMALL)


def draw_stationarity(figure: FigureBase, narrow: bool) -> None:
    """Where ReWA comes to rest on f(x) = (x - a)^2 / 2 for many a, on the curve -R'."""
    settings = ((9, 2, 0.0, "A", -0.5), (3, 0, 0.05, "B", -0.3))
    for axes, (K, M, epsilon, name, bottom) in zip(_panels(figure, 2, narrow), settings, strict=True):
        target, rest = _at_rest(K, M, epsilon, 0.2)
        alive = (rest.abs() > 1e-6).numpy()
        slope = (rest - target).numpy()
        x = torch.logspace(-5, math.log10(1.3), 500, dtype=torch.float64).requires_grad_()
        (gradient,) = torch.autograd.grad(implicit_regularizer(x, K, M, epsilon, 0.2).sum(), x)
        axes.plot(x.detach(), -gradient, color=BLACK, label="$-R'(x)$ of Theorem 3.3")
        axes.plot(rest[alive], slope[alive], "o", color=BLUE, label="ReWA at rest, x > 0")
        zero = axes.plot(rest[~alive], slope[~alive], "o", color=RED, label="ReWA at rest, x = 0")[0]
        zero.set(markerfacecolor="white", clip_on=False, zorder=3)
        axes.set_title(rf"Configuration {name}: K = {K}, M = {M}, $\epsilon$ = {epsilon:g}", fontsize=10)
        axes.set_xlabel("weight x at rest")
        axes.set_ylabel("slope of the loss there")
        axes.set_xlim(-0.02, 1.25)
        axes.set_ylim(bottom, 0.0)
        axes.legend(loc="lower right", frameon=False, fontsize=SMALL)


def draw_clipping(figure: FigureBase, narrow: bool) -> None:
    """|x|^p and its two clipped forms (the paper's Figure 5), and the trade-off that they make."""
    shape, trade = _panels(figure, 2, narrow)
    p, threshold = 0.5, 0.25
    x = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    looks: tuple[tuple[Clipping, str, str, str], ...] = (
        ("constant", BLUE, "--", "s"),
        ("linear", RED, "-.", "o"),
    )
    for kind, color, dashes, marker in looks:
        shape.plot(x, clipped_lp(x, p, threshold, kind), dashes, color=color, linewidth=2.2, label=kind)
        thresholds = np.logspace(-2.5, 0.8, 12)
        pairs = [_bound_and_error(p, float(t), kind) for t in thresholds]
        trade.loglog(*zip(*pairs, strict=True), dashes, marker=marker, color=color, label=kind)
    shape.plot(x, x.abs() ** p, color=BLACK, linewidth=1.2, label=r"$|x|^{1/2}$")
    for edge in (-threshold, threshold):
        shape.axvline(edge, color=GREY, linewidth=1, linestyle=":")
    shape.annotate("threshold", (threshold, 0.02), (4, 0), textcoords="offset points", fontsize=SMALL)
    shape.set_xlabel("weight x")
    shape.set_ylabel("penalty")
    shape.set_ylim(0, 1.05)
    shape.legend(loc="lower left", frameon=True, framealpha=1, edgecolor="white", fontsize=SMALL)
    trade.set_xlim(0.15, 20)
    trade.set_ylim(0.01, 4)
    trade.fill_between([0.15, 1], 0.01, (1 - p) / math.e, color=GREY, alpha=0.25, linewidth=0)
    trade.fill_between([0.15, 1], (1 - p) / math.e, 1 / math.e, color=GREY, alpha=0.12, linewidth=0)
    trade.text(0.16, 0.97 / math.e, "no constant", fontsize=SMALL, va="top")
    trade.text(0.16, 0.97 * (1 - p) / math.e, "no constant,\nno linear", fontsize=SMALL, va="top")
    trade.set_xlabel("gradient bound G")
    trade.set_ylabel("approximation error E")
    trade.legend(loc="upper right", frameon=False, fontsize=SMALL)


def draw_crossing(figure: FigureBase, narrow: bool) -> None:
    """Paths of y from the wrong sign, f(x) = (x - 1)^2 / 2 (Example 3.2)."""
    left, right = _panels(figure, 2, narrow)
    start = torch.tensor([-1.0], dtype=torch.float64)
    for K, dashes in ((3, "-"), (7, "--")):
        for M, color, name in ((0, BLUE, "adaptive, M = 0"), (K - 1, RED, f"non-adaptive, M = {K - 1}")):
            x = train(lambda x: x - 1, start, 400, K, M, 0.0, 0.0, lr=0.05).numpy().ravel()
            label = f"{name}, K = {K}"
            left.plot(np.sign(x) * np.abs(x) ** (1 / K), dashes, color=color, label=label)
            right.semilogy(np.maximum((x - 1) ** 2 / 2, 1e-16), dashes, color=color)
    left.axhline(0, color=BLACK, linewidth=0.8)
    left.set_ylabel("latent y")
    right.set_ylabel("loss")
    right.set_ylim(1e-13, 10)
    for axes in (left, right):
        axes.set_xlabel("step")
    left.legend(loc="center right", bbox_to_anchor=(1.0, 0.7), frameon=False, fontsize=SMALL)


def draw_null_space(figure: FigureBase, narrow: bool) -> None:
    """A coordinate with gradient and one without, with and without decay (Example 3.8)."""
    K, M, lr, steps = 3, 1, 0.1, 1200
    curvature = torch.tensor([1.0, 0.0], dtype=torch.float64)
    step = np.arange(steps + 1)
    panels = _panels(figure, 2, narrow)
    for axes, decay in zip(panels, (0.0, 0.02), strict=True):
        path = train(lambda x: curvature * x, torch.ones_like(curvature), steps, K, M, 0.0, decay, lr=lr)
        axes.semilogy(path[:, 1], color=RED, linewidth=2.2, label="null coordinate, h = 0")
        axes.semilogy(path[:, 0], "--", color=BLUE, label="coordinate with h = 1")
        shrunk = [math.exp(-decay_budget(K, decay, lr, 0.0, float(t))) for t in step]
        axes.semilogy(step, shrunk, ":", color=BLACK, linewidth=1.4, label="exp(-D), D the decay budget")
        axes.set_title(rf"$\lambda$ = {decay:g}" + (": weight decay" if decay else ": none"), fontsize=10)
        axes.set_xlabel("step")
        axes.set_ylabel("weight x")
        axes.set_ylim(1e-5, 3)
    panels[0].legend(loc="lower left", frameon=False, fontsize=SMALL)


def draw_stagnation(figure: FigureBase, narrow: bool) -> None:
    """The stagnation radius against M for several epsilon (Theorem 3.10, Proposition 3.11)."""
    K = 9
    M = np.linspace(0, K - 1, 641)
    looks = ((0.0, BLUE, "-"), (0.01, SKY, "--"), (0.1, GREEN, "-."), (1.0, PINK, ":"))
    panels = _panels(figure, 2, narrow)
    for axes, push, top in zip(panels, (4.0, 0.5), (1.4, 3.0), strict=True):
        for epsilon, color, dashes in looks:
            radius = [stagnation_radius(K, float(m), epsilon, push, 1.0) for m in M]
            width = 2.4 if dashes == ":" else 1.8
            axes.plot(M, radius, dashes, color=color, linewidth=width, label=rf"$\epsilon$ = {epsilon:g}")
        without = nonadaptive_stagnation_radius(K, push, 1.0)
        axes.axhline(without, color=RED, linestyle=(0, (6, 2)), linewidth=1.4, label="non-adaptive")
        axes.set_title(rf"$\gamma G$ = {push:g}", fontsize=10)
        axes.set_xlabel(f"M, for K = {K}")
        axes.set_ylabel("stagnation radius of |y|")
        axes.set_ylim(0, top)
    panels[0].legend(loc="upper left", ncols=2, frameon=False, fontsize=SMALL)


def draw_tangent_ball(figure: FigureBase, narrow: bool) -> None:
    """Level sets at the optimum over a line and over a ball tangent to the axes (the paper's Figure 4)."""
    panels = _panels(figure, 3, narrow)
    angles = np.linspace(0, 2 * np.pi, 20_001)
    circle = np.stack([1 - np.cos(angles), 1 - np.sin(angles)])
    along = np.linspace(-1.2, 2.4, 3601)
    line = np.stack([along, 1 - 0.6 * along])
    cases = (
        (line, 1.0, r"$\ell_1$, linear constraint: sparse"),
        (circle, 1.0, r"$\ell_1$, ball: dense"),
        (circle, 0.5, r"$\ell_p$, p = 1/2, ball: sparse"),
    )
    for axes, (constraint, p, title) in zip(panels, cases, strict=True):
        values = (np.abs(constraint) ** p).sum(axis=0)
        least = float(values.min())
        best = np.unique(constraint[:, values < least + 1e-9].round(3), axis=1)
        if constraint is circle:
            axes.fill(*circle, color=SKY, alpha=0.3, linewidth=0)
        axes.plot(*constraint, color=BLUE)
        axes.text(1.0, 1.0 if constraint is circle else 0.55, "C", color=BLUE, fontsize=12)
        axes.plot(*_level_set(p, least), color=RED, linestyle="--")
        name = r"$\ell_1$" if p == 1 else r"$\ell_p$"
        axes.text(2.15, -1.15, f"smallest {name} ball\nthat meets C", color=RED, ha="right", fontsize=SMALL)
        axes.plot(*best, "o", color=BLACK, markersize=8, zorder=4)
        for draw in (axes.axhline, axes.axvline):
            draw(0, color=BLACK, linewidth=0.8)
        axes.set_aspect("equal")
        axes.set_xlim(-1.25, 2.2)
        axes.set_ylim(-1.25, 2.2)
        axes.set_xlabel("$x_1$")
        axes.set_ylabel("$x_2$")
        axes.set_title(title, fontsize=10)


def train(
    gradient: Callable[[Tensor], Tensor],
    start: Tensor,
    steps: int,
    K: float,
    M: float,
    epsilon: float,
    weight_decay: float,
    lr: float,
) -> Tensor:
    """Run ReWA on a known gradient.

    Args:
        gradient: f' as a function of x.
        start: Where x starts; any shape.
        steps: Number of steps.
        K: Power of the reparameterisation.
        M: Exponent of the adaptive learning rate.
        epsilon: Stabiliser.
        weight_decay: lambda.
        lr: gamma.

    Returns:
        x before the first step and after every step: shape (steps + 1, *start.shape).
    """
    x = nn.Parameter(start.clone())
    optimizer = ReWA([x], lr=lr, K=K, M=M, epsilon=epsilon, weight_decay=weight_decay)
    path = [start]
    for _ in range(steps):
        x.grad = gradient(x.detach())
        optimizer.step()
        path.append(x.detach().clone())
    return torch.stack(path)


def _panels(figure: FigureBase, count: int, narrow: bool) -> list[Axes]:
    """Panels side by side, one above the other on a phone."""
    shape = (count, 1) if narrow else (1, count)
    return list(figure.subplots(*shape, squeeze=False).flat)


@cache
def _at_rest(K: float, M: float, epsilon: float, weight_decay: float) -> tuple[Tensor, Tensor]:
    """Targets a, and where ReWA comes to rest for each on f(x) = (x - a)^2 / 2."""
    target = torch.linspace(0.02, 1.4, 24, dtype=torch.float64)
    path = train(lambda x: x - target, target, 3000, K, M, epsilon, weight_decay, lr=0.8 / K)
    return target, path[-1]


def _relative(edge: float, K: float, M: float, epsilon: float) -> tuple[Tensor, Tensor]:
    """Weights x up to an edge, and R(x) / R(edge)."""
    x = torch.linspace(-edge, edge, 2001, dtype=torch.float64)
    values = implicit_regularizer(x, K, M, epsilon, 1.0)
    return x, values / values[-1]


def _p(K: float, M: float, epsilon: float) -> str:
    return f"{effective_p(K, M, epsilon):.2g}"


def _bound_and_error(p: float, threshold: float, kind: Clipping) -> tuple[float, float]:
    """Measured on the clipped function: its largest slope, and its distance to |x|^p at 0."""
    x = torch.tensor([0.0, threshold * (1 + 1e-9)], dtype=torch.float64, requires_grad=True)
    values = clipped_lp(x, p, threshold, kind)
    (slope,) = torch.autograd.grad(values[1], x)
    return float(slope.abs().max()), float(values[0].detach())


def _level_set(p: float, value: float) -> Array:
    """The curve |x_1|^p + |x_2|^p = value."""
    angle = np.linspace(0, 2 * np.pi, 4001)
    cosine, sine = np.cos(angle), np.sin(angle)
    power = 2 / p
    curve = np.stack([np.sign(cosine) * np.abs(cosine) ** power, np.sign(sine) * np.abs(sine) ** power])
    return np.asarray(curve * value ** (1 / p), dtype=np.float64)
