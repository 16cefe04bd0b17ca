"""The optimizer benchmark runs at toy size, and its page says what its figures say."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import optimizer_step
from benchmarks.optimizer_paths import BASE, arrays_of, groups_of_paths
from rewa.errors import UserError


def test_the_toy_size_gives_a_page_and_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    words = ["--scale", "smoke", "--threads", "1", "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["optimizer_step", *words, "--json", str(tmp_path / "figures.json")])
    try:
        optimizer_step.main()
    finally:
        torch.set_num_threads(threads)
    rows = json.loads((tmp_path / "figures.json").read_text())["figures"]
    expected = {path for group in groups_of_paths(None) for path in group}
    assert {(row["optimizer"], row["path"]) for row in rows} == expected
    assert len(rows) == len(expected)
    assert all(row["milliseconds"] > 0 and row["floor_milliseconds"] > 0 for row in rows)
    text = (tmp_path / "out" / "README.md").read_text()
    assert "not been run on a GPU" in text
    assert "A toy size" in text
    assert all(f"| {row['optimizer']} | {row['path']} |" in text for row in rows)


def row(optimizer: str, path: str, ratio: float) -> dict[str, object]:
    return {"network": "n", "optimizer": optimizer, "path": path, "ratio_to_torch_sgd_fused": ratio}


@pytest.mark.parametrize(
    ("ours", "real", "theirs", "device", "met"),
    [
        (0.9, 2.6, 20.0, "cpu", [True, True, True]),
        (1.1, 3.5, 20.0, "cpu", [False, False, False]),
        (1.1, 3.2, 25.0, "cuda", [True, True, True]),
    ],
)
def test_the_verdict_is_the_targets(
    ours: float, real: float, theirs: float, device: str, met: list[bool]
) -> None:
    rows = [
        row(*BASE, 1.0),
        row("ReWA K=9 M=2", "one pass", ours),
        row("ReWA K=9 M=2", "foreach", 9.0),
        row("ReWA K=9 M=1.74", "one pass", ours),
        row("ReWA K=2.25 M=1.25", "one pass", real),
        row("the authors' K=9 M=2", "their code", theirs),
    ]
    text = optimizer_step.verdict(rows, device)
    found = [part.startswith("met") for part in text.split("(target ")[1:]]
    assert found == met


def test_arrays_that_must_move() -> None:
    names = ("torch SGD", "ReWA K=9 M=2", "torch AdamW", "ReWAAdamW K=9 M=0")
    assert [arrays_of(name, "cuda") for name in names] == [5, 6, 7, 8]
    assert [arrays_of(name, "cpu") for name in names] == [5, 7, 7, 9]


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    monkeypatch.setattr(sys, "argv", ["optimizer_step", "--device", "cuda"])
    with pytest.raises(UserError, match="no CUDA device"):
        optimizer_step.main()
