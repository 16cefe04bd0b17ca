"""Draw the paper's theory: ``python -m analysis.theory --output results/theory``.

Two files come out: theory.html (one self-contained page) and theory.png (the same figures on one sheet).
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import matplotlib as mpl
from matplotlib.figure import Figure, FigureBase

from analysis import figures
from analysis import theory_figures as draw
from rewa.errors import UserError

CHECK = "python -m pytest tests/theory tests/test_theory.py"
"""The command that checks what the page shows."""


@dataclass(frozen=True)
class Exhibit:
    """One figure of the page.

    Attributes:
        title: What it is, with the paper's number.
        caption: One sentence: what to see.
        draw: Draws it into a figure; the flag asks for a phone's width.
        height: Of the wide form, in inches.
        narrow_height: Of the phone's form, in inches.
    """

    title: str
    caption: str
    draw: Callable[[FigureBase, bool], None]
    height: float = 3.7
    narrow_height: float = 6.6


EXHIBITS = (
    Exhibit(
        "The implicit regulariser (Theorem 3.3, Proposition 3.4)",
        "First, M = 1 is the l1 penalty's wedge and a larger M sharpens it into a cusp at zero; second, any "
        "epsilon > 0 puts a cusp at the bottom of what was a smooth bowl.",
        draw.draw_regularizer,
        height=4.0,
        narrow_height=7.4,
    ),
    Exhibit(
        "Where ReWA comes to rest (Theorem 3.3)",
        "Trained on (x - a)^2 / 2 for 24 values of a, every weight ends either at zero or exactly on the "
        "curve where the loss's slope is -R'(x).",
        draw.draw_stationarity,
    ),
    Exhibit(
        "Clipping |x|^p (Definition 3.6, Theorem 3.7, the paper's Figure 5)",
        "First, |x|^p and its two clipped forms; second, moving the threshold buys a smaller gradient only "
        "with a larger error, and the grey corner where both are small stays out of reach.",
        draw.draw_clipping,
    ),
    Exhibit(
        "Crossing zero (Example 3.2)",
        "Started at the wrong sign, the adaptive iteration crosses zero and converges, while the "
        "non-adaptive one slows down before zero and never crosses.",
        draw.draw_crossing,
    ),
    Exhibit(
        "What weight decay is for (Example 3.8, Theorem 3.9)",
        "Without decay the coordinate that the loss does not see never moves; with it, it shrinks at the "
        "rate that the decay budget D predicts.",
        draw.draw_null_space,
    ),
    Exhibit(
        "The stagnation radius (Theorem 3.10, Proposition 3.11)",
        "Below its curve no gradient step changes a weight's sign: if gamma G > 1 (first) a smaller M makes "
        "that region smaller than the non-adaptive one, and too large an epsilon larger; if gamma G < 1 "
        "(second) it covers the unit ball for every M > 1.",
        draw.draw_stagnation,
    ),
    Exhibit(
        "l1 against lp (Example 3.12, the paper's Figure 4)",
        "On a linear constraint l1 is sparse, on a ball tangent to the axes it is dense, and lp is sparse "
        "there again (for p up to 1/2).",
        draw.draw_tangent_ball,
        height=3.3,
        narrow_height=12.0,
    ),
)

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ReWA: its theory, drawn</title>
<style>
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem 1rem 3rem; max-width: 62rem; color: #1a1a1a; background: #fff;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.3rem; margin: 0 0 .4rem; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .5rem; border-bottom: 1px solid #ddd; padding-bottom: .2rem; }
p { margin: .4rem 0; max-width: 50rem; }
figure { margin: .6rem 0; }
figcaption { color: #333; max-width: 50rem; margin-top: .3rem; }
img { display: block; width: 100%; height: auto; max-width: 860px; }
code { font: .84rem/1.45 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; background: #f5f5f5; }
@media print { body { max-width: none; font-size: 10pt; padding: 0; } figure { break-inside: avoid; }
  h2 { break-after: avoid; } }
</style>
</head>
<body>
<h1>ReWA: its theory, drawn</h1>
<p>Curves are the closed forms of <code>rewa.theory</code>; paths and points were trained with
<code>rewa.ReWA</code> when this page was made. x is a weight, y its latent with x = sign(y)|y|<sup>K</sup>.
The same claims as tests: <code>{{ check }}</code></p>
{% for exhibit in exhibits %}
<h2>{{ exhibit.title }}</h2>
<figure>
<picture>
<source media="(max-width: 600px)" srcset="{{ exhibit.narrow }}">
<img src="{{ exhibit.wide }}" alt="{{ exhibit.title }}">
</picture>
<figcaption>{{ exhibit.caption }}</figcaption>
</figure>
{% endfor %}
</body>
</html>
"""


def write_page(output: Path) -> list[Path]:
    """Write the page and the sheet; each appears whole or not at all.

    Args:
        output: Directory, made if it is missing.

    Returns:
        The paths of theory.html and theory.png.

    Raises:
        UserError: The directory cannot be written.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        return [
            _replace(output / "theory.html", render().encode()),
            _replace(output / "theory.png", figures.png(sheet(), dpi=130)),
        ]
    except OSError as error:
        raise UserError(f"cannot write the page into {output}: {error.strerror}") from error


def render() -> str:
    """Render the page, its images inside it."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    exhibits = [
        {
            "title": exhibit.title,
            "caption": exhibit.caption,
            "wide": figures.data_uri(figures.png(_figure(exhibit))),
            "narrow": figures.data_uri(figures.png(_figure(exhibit, narrow=True))),
        }
        for exhibit in EXHIBITS
    ]
    return environment.from_string(PAGE).render(exhibits=exhibits, check=CHECK)


def sheet() -> Figure:
    """All figures on one sheet, two to a row, with titles and captions."""
    with mpl.rc_context(figures.RC):
        figure = Figure(figsize=(17.2, 19.5), layout="constrained")
        rows = figure.subfigures((len(EXHIBITS) + 1) // 2, 1, hspace=0.04, squeeze=False)
        for index, row in enumerate(rows.flat):
            pair = EXHIBITS[2 * index : 2 * index + 2]
            cells = row.subfigures(1, len(pair), wspace=0.03, squeeze=False).flat
            for exhibit, cell in zip(pair, cells, strict=True):
                exhibit.draw(cell, False)
                cell.suptitle(exhibit.title, fontsize=13, fontweight="bold")
                caption = textwrap.fill(exhibit.caption, 98 * 2 // len(pair))
                cell.supxlabel(caption, fontsize=10.5, color="#333333")
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m analysis.theory", description=__doc__)
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        default=Path("results/theory"),
        help="where to write (default: results/theory)",
    )
    arguments = parser.parse_args(argv)
    try:
        page, image = write_page(arguments.output)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"page: {page}")
    print(f"beside it: {image.name}")
    print(f"the same claims as tests: {CHECK}")
    return 0


def _figure(exhibit: Exhibit, *, narrow: bool = False) -> Figure:
    size = (4.3, exhibit.narrow_height) if narrow else (8.6, exhibit.height)
    with mpl.rc_context(figures.RC):
        figure = Figure(figsize=size, layout="constrained")
        exhibit.draw(figure, narrow)
    return figure


def _replace(path: Path, content: bytes) -> Path:
    """Write a file beside its place, then move it there in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


if __name__ == "__main__":
    sys.exit(main())
