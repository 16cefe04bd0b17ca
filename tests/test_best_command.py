"""`rewa best` as a command: what it prints, its exit status, and that its train line gives what it says."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from planted_sweep import META, plant, training

from rewa.sweep.folder import SweepFolder
from rewa.sweep.space_file import find_space
from rewa.sweep_source import read_source

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return plant(tmp_path / "out")


def test_it_prints_the_decision_and_the_command(folder: SweepFolder, cli: Cli) -> None:
    before = sorted(folder.path.rglob("*"))
    status, out, err = cli("best", str(folder.path), "--compression", "100")
    assert (status, err) == (0, "")
    first = out.splitlines()[0]
    assert first.startswith("At 100x use rewa (rewa-0008)")
    line = next(line for line in out.splitlines() if line.startswith("train it again: "))
    words = shlex.split(line.removeprefix("train it again: "))
    assert words[:4] == ["rewa", "train", "digits", "rewa"]
    assert f"weight_decay={training('rewa', 8).config['weight_decay']!r}" in words
    assert words[-4:] == ["--epochs", "2", "--seed", "1"]
    assert "next: rewa calibrate" in out
    assert "report: python -m analysis.report --sweep planted" in out
    assert sorted(folder.path.rglob("*")) == before  # reading changes nothing


def test_json_has_every_answer_and_its_command(folder: SweepFolder, cli: Cli) -> None:
    status, out, _ = cli("best", str(folder.path), "--max-drop", "1", "--json")
    assert status == 0
    assert out.count("\n") == 1
    told = json.loads(out)
    expected = max(  # within a point of dense, magnitude-0000 at 1x
        ratio
        for ratio in (1.0, 2.0, 5.0)
        if training("magnitude", 0).metric_at("val")[ratio]
        >= training("magnitude", 0).metric_at("val")[1.0] - 0.01
    )
    assert told["best"]["method"] == "magnitude"
    assert told["best"]["target"] == expected
    assert told["best"]["command"].startswith("rewa train digits magnitude ")
    assert told["unable"] == ["rewa"]
    assert told["answered"]
    assert told["finished"]
    assert told["dense"]["method"] == "magnitude"


def test_nothing_that_answers_is_status_1(folder: SweepFolder, cli: Cli) -> None:
    status, out, err = cli("best", str(folder.path), "--max-drop", "0.1", "--method", "rewa")
    assert (status, err) == (1, "")
    assert "No setting of rewa stays within that" in " ".join(out.split())
    status, out, _ = cli("best", str(folder.path), "--max-drop", "0.1", "--method", "rewa", "--json")
    assert status == 1
    told = json.loads(out)
    assert told["best"] is None
    assert told["nearest"]["method"] == "rewa"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give either --compression, such as 100, or --max-drop, such as 1.0"),
        (("--compression", "10", "--max-drop", "1"), "give either --compression"),
        (("--compression", "5000"), "the targets are 1x, 2x, 5x, 10x, 20x, 50x, 100x and 200x"),
        (("--compression", "0.5"), "must be at least 1"),
        (("--max-drop", "-1"), "at least 0"),
        (("--compression", "10", "--method", "spred"), "has rewa and magnitude"),
    ],
)
def test_bad_input_is_one_sentence(
    folder: SweepFolder, cli: Cli, words: tuple[str, ...], message: str
) -> None:
    status, out, err = cli("best", str(folder.path), *words)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_places_that_are_no_sweep(
    folder: SweepFolder, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty" / "trials").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    for place, message in (
        ("a/b", "no such directory"),
        ("./other", "is not the output directory of a sweep"),
        ("empty", "no training of this sweep has finished yet"),
        ("planted", "no MLflow store at"),
    ):
        status, _, err = cli("best", place, "--compression", "10")
        assert status == 2
        assert message in err
        assert err.count("\n") == 1


def test_a_running_or_damaged_sweep_is_read_as_it_is(tmp_path: Path, cli: Cli) -> None:
    folder = plant(tmp_path / "part", complete=False)
    damaged = folder.path / "trials" / "rewa-0002" / "result.json"
    damaged.write_text('{"sweep": "pla')
    (folder.path / "trials" / "rewa-0011").mkdir()
    status, out, _ = cli("best", str(folder.path), "--compression", "50")
    said = " ".join(out.split())
    assert status == 0
    assert "The sweep is not finished: 17 of 24 trials of the search are there." in said
    assert "Not confirmed on fresh seeds" in said
    assert "is damaged and does not count." in said
    assert "next: rewa sweep digits --output" in out
    assert damaged.is_file()
    folder.lock()
    status, out, _ = cli("best", str(folder.path), "--compression", "50")
    folder.unlock()
    assert status == 0
    assert "a driver is running there" in out


def test_the_folder_gives_the_records_of_the_sweep(folder: SweepFolder) -> None:
    source = read_source(str(folder.path), None)
    assert source.record.name == "planted"
    assert len(source.record.runs) == len(folder.records("search")) + len(folder.records("confirm"))
    assert source.record.meta["confirmed"] == META["confirmed"]
    assert not source.running
    point = source.record.frontier.query("trial == 'rewa-0003' and split == 'val' and value == 50")
    assert point["metric"].item() == training("rewa", 3).metric_at("val")[50.0]


REWA = [sys.executable, "-c", "from rewa.cli import main; main()"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_train_line_repeats_the_confirmed_training_to_the_bit(
    tmp_path: Path, migrated_store: Path
) -> None:
    """A real sweep of two methods; asked by its directory and by its name in MLflow."""

    def rewa(*words: str) -> str:
        done = subprocess.run([*REWA, *words], cwd=tmp_path, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr
        return done.stdout

    text = find_space("digits").read_text()
    text = text.replace("epochs: 100", "epochs: 4").replace("trials: 40", "trials: 3")
    text = re.sub(r"confirm: \{.*?\}", "confirm: {settings: 1, seeds: 2}", text)
    (tmp_path / "tiny.yaml").write_text(text)
    shutil.copy(migrated_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    rewa("sweep", "tiny.yaml", "--output", "out", "--tracking-uri", uri)
    by_folder = json.loads(rewa("best", "out", "--compression", "10", "--json"))
    by_name = json.loads(rewa("best", "digits", "--tracking-uri", uri, "--compression", "10", "--json"))
    assert by_folder["answers"] == by_name["answers"]
    assert by_folder["sentences"] == by_name["sentences"]
    for answer in by_folder["answers"]:
        words = shlex.split(answer["command"])
        assert words.pop(0) == "rewa"
        again = tmp_path / "again" / answer["trial"]
        rewa(*words, "--no-tracking", "--output", str(again))
        phase = "confirm" if answer["phase"] == "confirm" else "trials"
        name = f"{answer['trial']}-seed-{answer['first_seed']}" if phase == "confirm" else answer["trial"]
        record = tmp_path / "out" / phase / name
        assert (again / "frontier.csv").read_text() == (record / "frontier.csv").read_text()
