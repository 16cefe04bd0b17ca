"""The evidence of the report page, one section to a module: its data, its figures and its template."""

from analysis.parts.part import Part

PARTS: tuple[Part, ...] = ()
"""In the order of the page."""

__all__ = ["PARTS", "Part"]
