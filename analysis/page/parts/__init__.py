"""The evidence of the report page, one section to a module: its data, its figures and its template."""

from analysis.page.parts import failures, fixed, importance, interactions, layers, progress, sensitivity
from analysis.page.parts.part import Part

PARTS: tuple[Part, ...] = (
    Part("fixed", fixed.block, fixed.figures),
    Part("sensitivity", sensitivity.block, sensitivity.figures),
    Part("progress", progress.block, progress.figures),
    Part("importance", importance.block, importance.figures),
    Part("interactions", interactions.block, interactions.figures),
    Part("failures", failures.block, failures.figures),
    Part("layers", layers.block, layers.figures),
)
"""In the order of the page."""

__all__ = ["PARTS", "Part"]
