"""Pruning and the frontier: accuracy against compression."""

from rewa.sparsity.area import frontier_area
from rewa.sparsity.frontier import RATIOS, THRESHOLDS, OperatingPoint, measure_frontier
from rewa.sparsity.layers import LayerRow, collapse_warning, collapsed_layers, layer_table
from rewa.sparsity.masks import MaskHold, apply_masks, hold_masks, top_masks
from rewa.sparsity.recalibration import has_batch_norm, recalibrate

__all__ = [
    "RATIOS",
    "THRESHOLDS",
    "LayerRow",
    "MaskHold",
    "OperatingPoint",
    "apply_masks",
    "collapse_warning",
    "collapsed_layers",
    "frontier_area",
    "has_batch_norm",
    "hold_masks",
    "layer_table",
    "measure_frontier",
    "recalibrate",
    "top_masks",
]
