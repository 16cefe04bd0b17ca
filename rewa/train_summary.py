"""What ``rewa train`` prints at its end, from the record alone."""

from __future__ import annotations

from collections.abc import Iterator

from rewa.metric import Metric
from rewa.record import Record
from rewa.sparsity.layers import collapse_warning

MOST_LAYERS = 12
"""Layers printed at most; the file has all."""


def summarise(record: Record) -> Iterator[str]:
    """Yield the lines: metric at the headline compressions, recalibrated, fine-tuned; layers; speed."""
    if record.status == "diverged":
        yield f"diverged: {record.reason}"
        return
    metric = record.metric
    asked = [float(ratio) for ratio in record.workload["headline_ratios"]]
    values = record.metric_at("test")
    kept = _at(values, asked, metric)
    yield f"test {metric.name} {_text(values[1], metric)} unpruned, {kept} ({record.seconds:.1f} s)"
    if renewed := record.metric_at("test", recalibrated=True):
        yield f"  batch norm recalibrated: {_at(renewed, asked, metric)}"
    tuned = (record.model_extra or {}).get(f"finetuned_test_{metric.name}")
    if isinstance(tuned, dict):
        yield "  fine-tuned: " + ", ".join(f"{_text(v, metric)} at {at}" for at, v in tuned.items())
    yield from _layer_lines(record)
    if warning := collapse_warning(record.layers, asked):
        yield f"  {warning}"
    if record.samples_per_second and record.peak_memory_mb:
        yield (
            f"  {record.samples_per_second:,.0f} samples/s in training, "
            f"peak memory {record.peak_memory_mb:,.0f} MB"
        )


def _layer_lines(record: Record) -> Iterator[str]:
    """Yield what each layer keeps, as shares; of a large network the least dense layers only."""
    ratios = sorted({ratio for row in record.layers for ratio in row.kept})
    if not ratios:
        return
    rows = sorted(record.layers, key=lambda row: row.kept[ratios[-1]] / row.weights)[:MOST_LAYERS]
    shown = [row for row in record.layers if row in rows]
    left = len(record.layers) - len(shown)
    width = max(len("layer"), *(len(row.layer) for row in shown))
    title = "weights kept per layer" + (
        f" (the {len(shown)} sparsest; {left} more in layers.csv)" if left else ""
    )
    yield f"  {title}:"
    yield f"    {'layer':<{width}} {'weights':>10} " + " ".join(f"{f'at {r:g}x':>9}" for r in ratios)
    for row in shown:
        shares = " ".join(f"{100 * row.kept[ratio] / row.weights:>7.2f} %" for ratio in ratios)
        yield f"    {row.layer:<{width}} {row.weights:>10,} {shares}"


def _at(values: dict[float, float], asked: list[float], metric: Metric) -> str:
    """Return ``97.1 % at 10x, 96.0 % at 100x``."""
    return ", ".join(f"{_text(values[ratio], metric)} at {ratio:g}x" for ratio in asked if ratio in values)


def _text(value: float, metric: Metric) -> str:
    return f"{100 * value:.1f} %" if metric.is_share else f"{value:.4g}"
