"""Damaged and foreign result files are refused in one sentence."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from rewa.errors import UserError
from rewa.record import Record, load_record, save_record


def made() -> Record:
    return Record(
        sweep="s",
        workload={"name": "digits", "metric": "accuracy", "headline_ratios": [10]},
        method="rewa",
        trial="rewa-0000",
        phase="search",
        seed=0,
        config={"lr": 0.1},
        status="failed",
        reason="é",
        seconds=1.5,
        metrics={"a": 0.5},
        history=[],
        frontier=[],
        versions={},
        commit="",
        hardware="",
    )


def refused(folder: Path) -> bool:
    """Load a record; return whether it was refused, in one line naming the file."""
    try:
        load_record(folder)
    except UserError as error:
        message = str(error)
    else:
        return False
    assert message.startswith(f"{folder / 'result.json'}: ")
    assert message.isprintable()
    assert len(message) < 1000
    return True


def test_every_shorter_file_is_refused(tmp_path: Path) -> None:
    save_record(made(), tmp_path)
    path = tmp_path / "result.json"
    whole = path.read_bytes()
    assert load_record(tmp_path) == made()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert refused(tmp_path), f"cut at {length}"


def test_flipped_bits_never_end_in_a_traceback(tmp_path: Path) -> None:
    """One in a number's digits is another number: a record has no checksum."""
    save_record(made(), tmp_path)
    path = tmp_path / "result.json"
    whole = path.read_bytes()
    found = []
    for bit in range(0, 8 * len(whole), 3):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        found.append(refused(tmp_path))
    assert sum(found) > len(found) / 2
    rng = random.Random(0)
    for _ in range(300):
        path.write_bytes(rng.randbytes(rng.randrange(200)))
        assert refused(tmp_path)


FOREIGN = {
    "a list": "[]",
    "another program's": '{"result": 1}',
    "nested": "[" * 100_000,
    "no number": '{"sweep": NaN}',
    "keys of several lines": json.dumps({"a\nb": 1}),
    "half a character": b"\xff\xfe{}",
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_foreign_files_are_refused(content: str | bytes, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refused(tmp_path)


@pytest.mark.parametrize("workload", [{"direction": "sideways"}, {"chance": "high"}, {"ideal": []}])
def test_a_workload_that_names_no_metric_is_refused(workload: dict[str, object], tmp_path: Path) -> None:
    save_record(made(), tmp_path)
    values = json.loads((tmp_path / "result.json").read_text())
    values["workload"].update(workload)
    (tmp_path / "result.json").write_text(json.dumps(values))
    assert refused(tmp_path)


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "result.json").mkdir()
    assert refused(tmp_path)
    assert refused(tmp_path / "nothing")
