"""Pruning and the frontier: accuracy against compression."""

from rewa.sparsity.area import frontier_area
from rewa.sparsity.frontier import RATIOS, THRESHOLDS, OperatingPoint, measure_frontier

__all__ = ["RATIOS", "THRESHOLDS", "OperatingPoint", "frontier_area", "measure_frontier"]
