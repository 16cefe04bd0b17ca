from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from rewa.checkpoint import CheckpointFile
from rewa.errors import UserError

IDENTITY = {"method": "rewa", "config": {"K": 9}, "seed": 1}


def keep(path: Path, **state: Any) -> CheckpointFile:
    file = CheckpointFile(path, IDENTITY, every=0)
    file.save_when_due(lambda: state)
    return file


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    saved = {"epoch": 3, "tensor": torch.arange(5), "nested": [{"a": 1.5}], "none": None}
    keep(tmp_path / "deep" / "c.pt", **saved)
    found = CheckpointFile(tmp_path / "deep" / "c.pt", IDENTITY).load()
    assert found is not None
    assert torch.equal(found.pop("tensor"), saved.pop("tensor"))  # type: ignore[arg-type]
    assert found == saved


def test_nothing_there_is_nothing(tmp_path: Path) -> None:
    assert CheckpointFile(tmp_path / "c.pt", IDENTITY).load() is None


def test_the_order_of_the_identity_does_not_matter(tmp_path: Path) -> None:
    keep(tmp_path / "c.pt", epoch=1)
    turned = dict(reversed(IDENTITY.items()))
    assert CheckpointFile(tmp_path / "c.pt", turned).load() == {"epoch": 1}


def test_another_trainings_checkpoint_is_refused(tmp_path: Path) -> None:
    keep(tmp_path / "c.pt", epoch=1)
    with pytest.raises(UserError, match=r"c\.pt: is the checkpoint of another training"):
        CheckpointFile(tmp_path / "c.pt", {**IDENTITY, "seed": 2}).load()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    file = keep(path, epoch=1, weights=torch.randn(1000))
    file.save_when_due(lambda: {"epoch": 2, "weights": torch.randn(1000)})
    whole = bytearray(path.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 64] = bytes(byte ^ 0xFF for byte in whole[middle : middle + 64])
    contents = {"truncated": bytes(whole[:middle]), "flipped": bytes(whole), "empty": b"", "text": b"no"}
    path.write_bytes(contents[damage])
    with pytest.warns(UserWarning, match=r"c\.pt: cannot be read.*passed over"):
        found = CheckpointFile(path, IDENTITY).load()
    assert found is not None
    assert found["epoch"] == 1


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("was-run"),))


def test_a_pickle_with_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"format": 1, "identity": "x", "payload": Malicious()}, tmp_path / "c.pt")
    (tmp_path / "c.pt.previous").write_bytes(pickle.dumps(Malicious()))
    with pytest.warns(UserWarning, match="cannot be read"):
        assert CheckpointFile(tmp_path / "c.pt", IDENTITY).load() is None
    assert not (tmp_path / "was-run").exists()


def test_a_short_training_is_never_written(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "c.pt", IDENTITY, every=3600)
    file.save_when_due(lambda: pytest.fail("the state was asked for"))
    file.save_when_due(lambda: pytest.fail("the state was asked for"), force=True)
    assert list(tmp_path.iterdir()) == []


def test_removal_leaves_nothing(tmp_path: Path) -> None:
    file = keep(tmp_path / "c.pt", epoch=1)
    file.save_when_due(lambda: {"epoch": 2})
    assert len(list(tmp_path.iterdir())) == 2
    file.remove()
    file.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_cannot_be_written_does_not_end_the_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    file = CheckpointFile(tmp_path / "file" / "c.pt", IDENTITY, every=0)
    with pytest.warns(UserWarning, match="no checkpoint could be written"):
        file.save_when_due(lambda: {"epoch": 1})
    file.save_when_due(lambda: pytest.fail("tried again"))
