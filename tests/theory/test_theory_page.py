"""The page of figures: its files, its self-containedness, and what its pictures stand on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from analysis import figures, theory, theory_figures
from analysis.theory import EXHIBITS, main, sheet

PNG = figures.png


@pytest.fixture
def no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build every figure but render none."""
    monkeypatch.setattr(figures, "png", lambda figure, dpi=0: b"\x89PNG")


@pytest.mark.slow
@pytest.mark.usefixtures("no_pixels")
def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "new" / "theory"
    assert main(["--output", str(output)]) == 0
    assert sorted(path.name for path in output.iterdir()) == ["theory.html", "theory.png"]
    printed = capsys.readouterr().out
    assert f"page: {output / 'theory.html'}" in printed
    assert theory.CHECK in printed
    html = (output / "theory.html").read_text()
    assert html.count("data:image/png;base64,") == 2 * len(EXHIBITS)
    assert re.findall(r'(?:src|srcset|href)="(?!data:)', html) == []
    assert "http" not in html
    assert "<script" not in html
    assert html.count("<figcaption>") == len(EXHIBITS)
    for number in ("3.3", "3.4", "3.6", "3.7", "3.2", "3.8", "3.9", "3.10", "3.11", "3.12"):
        assert re.search(rf"(Theorem|Example|Definition|Proposition) {number}\b", html)
    for figure in ("Figure 4", "Figure 5"):
        assert figure in html


def test_paths_of_the_command_exist() -> None:
    root = Path(theory.__file__).parents[1]
    for word in theory.CHECK.split():
        assert not word.startswith("tests") or (root / word).exists()


@pytest.mark.usefixtures("no_pixels")
def test_a_file_in_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("")
    assert main(["--output", str(tmp_path / "taken")]) == 2
    assert "cannot write the page into" in capsys.readouterr().err


def test_captions_are_one_sentence() -> None:
    for exhibit in EXHIBITS:
        assert exhibit.caption.endswith(".")
        assert ". " not in exhibit.caption


def test_sheet_renders() -> None:
    """With matplotlib's own layout warnings as errors."""
    image = PNG(sheet(), dpi=20)
    assert image.startswith(b"\x89PNG")
    assert len(image) > 10_000


def test_trained_path() -> None:
    """One plain gradient step at K = 1, and a start that is part of the path."""
    start = torch.tensor([2.0, -1.0], dtype=torch.float64)
    path = theory_figures.train(lambda x: x - 1, start, 2, 1, 0, 0.0, 0.0, lr=0.5)
    assert path.tolist() == [[2.0, -1.0], [1.5, 0.0], [1.25, 0.5]]
