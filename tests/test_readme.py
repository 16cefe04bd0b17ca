"""The README's example runs as written, and sparsifies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from rewa.workloads import get_workload


def test_the_example_sparsifies_a_model() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    (code,) = re.findall(r"tests/test_readme.py runs this -->\n```python\n(.*?)```", readme, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    torch.manual_seed(0)
    digits = get_workload("digits").from_values({}, torch.device("cpu"))
    model = digits.build_model()
    order = torch.Generator().manual_seed(0)
    batches = list(digits.batches(order))
    points = names["sparsify"](model, batches, lambda pruned: digits.evaluate(pruned, "val"), epochs=30)
    accuracy = {point.value: point.metric for point in points if point.criterion == "ratio"}
    assert accuracy[1] > 0.9
    assert accuracy[20] > 0.9, "a dense network would have lost most of its accuracy"
