"""Damaged and malicious checkpoints: the state as it was, the one before, or none; no other, and no code."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from rewa.checkpoint import CheckpointFile
from rewa.sealed_file import read_sealed

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*cannot be read.*passed over"),
    pytest.mark.filterwarnings("ignore:Detected pickle protocol 4"),
]

IDENTITY = {"method": "rewa", "seed": 1}
STATE = {
    "epoch": 3,
    "model": {"weight": torch.arange(300.0) / 7, "bias": torch.tensor([1.5, -2.0])},
    "optimizer": {"state": {0: {"momentum": torch.linspace(0, 1, 9)}}, "param_groups": [{"lr": 0.1}]},
    "random": [{"torch": torch.arange(64, dtype=torch.uint8)}],
}


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal to the bit, in types and order too."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def written(path: Path, state: dict[str, Any] = STATE) -> bytes:
    CheckpointFile(path, IDENTITY, every=0).save_when_due(lambda: dict(state))
    return path.read_bytes()


def loaded(path: Path) -> dict[str, Any] | None:
    return CheckpointFile(path, IDENTITY).load()


def hold(path: Path, damaged: bytes) -> bool:
    """Load a damaged file; return whether it was still accepted, which only the right state may be."""
    path.write_bytes(damaged)
    found = loaded(path)
    assert found is None or same(found, STATE)
    return found is not None


@pytest.mark.parametrize(
    "step", [pytest.param(61, id="some"), pytest.param(1, marks=pytest.mark.slow, id="all")]
)
def test_every_flipped_bit_is_noticed(step: int, tmp_path: Path) -> None:
    """In headers, directory, padding and data alike; torch and zipfile alone look at the data only."""
    path = tmp_path / "c.pt"
    whole = written(path)
    accepted = set()
    for bit in range(0, 8 * len(whole), step):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        if hold(path, bytes(damaged)):
            accepted.add(len(whole) - bit // 8)
    assert accepted <= set(range(9, 20)), "only in the seal's own mark, and then the parts are checked"


@pytest.mark.parametrize(
    "step", [pytest.param(37, id="some"), pytest.param(1, marks=pytest.mark.slow, id="all")]
)
def test_every_shorter_file_is_noticed(step: int, tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    whole = written(path)
    for length in range(0, len(whole) - 21, step):
        assert not hold(path, whole[:length]), f"cut at {length} of {len(whole)}"
    for length in range(len(whole) - 21, len(whole)):
        hold(path, whole[:length])


def test_several_damaged_places_are_noticed(tmp_path: Path) -> None:
    path, rng = tmp_path / "c.pt", random.Random(0)
    whole = written(path)
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(rng.randint(2, 30)):
            damaged[rng.randrange(len(damaged) - 21)] ^= rng.randrange(1, 256)
        kind = rng.randrange(3)
        if kind == 1:
            del damaged[rng.randrange(len(damaged)) :]
        elif kind == 2:
            damaged += rng.randbytes(rng.randint(1, 50))
        assert not hold(path, bytes(damaged))


def test_the_one_before_is_taken_whatever_the_damage(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    file = CheckpointFile(path, IDENTITY, every=0)
    file.save_when_due(lambda: dict(STATE))
    file.save_when_due(lambda: {"epoch": 4})
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], b"\0" * len(whole), whole[:-1] + b"!"):
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match="passed over") as caught:
            found = loaded(path)
        assert found is not None
        assert same(found, STATE)
        assert all("\n" not in str(warning.message) for warning in caught)


def test_torch_reads_what_is_sealed_and_files_without_a_seal_are_read(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    written(path)
    state = torch.load(path, weights_only=True)
    assert same({key: state[key] for key in STATE}, STATE)
    torch.save(state, path)
    assert same(loaded(path), STATE)


class Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["zip", "sealed", "torch's old format", "pickle", "pickle in a zip"])
def test_no_code_is_run(kind: str, tmp_path: Path) -> None:
    path, canary = tmp_path / "c.pt", tmp_path / "was-run"
    evil = {"format": 1, "identity": "x", "payload": Canary(canary)}
    match kind:
        case "zip":
            torch.save(evil, path)
        case "sealed":
            written(path, {"payload": Canary(canary)})
        case "torch's old format":
            torch.save(evil, path, _use_new_zipfile_serialization=False)
        case "pickle":
            path.write_bytes(pickle.dumps(evil))
        case _:
            torch.save({"x": torch.ones(2)}, path)
            with zipfile.ZipFile(path) as archive:
                parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
            with zipfile.ZipFile(path, "w") as archive:
                for name, data in parts.items():
                    archive.writestr(name, pickle.dumps(evil) if name.endswith("data.pkl") else data)
    assert loaded(path) is None
    assert not canary.exists()
    if kind == "zip":  # and the canary would have sung
        torch.load(path, weights_only=False)
        assert canary.exists()


class Swelling:
    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (10**10,)


def test_a_file_that_would_swell_is_refused_before_it_does(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    torch.save({"x": Swelling()}, path)
    with pytest.raises(ValueError, match="bytearray"):
        read_sealed(path)
    torch.save({"x": torch.zeros(1_000_000)}, path)
    with zipfile.ZipFile(path) as archive:
        parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    assert torch.load(path, weights_only=True)["x"].numel() == 1_000_000, "torch alone would"
    with pytest.raises(ValueError, match="compressed"):
        read_sealed(path)


FILLING = """
import resource, signal, sys, warnings
from pathlib import Path
import torch
from rewa.checkpoint import CheckpointFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    file = CheckpointFile(Path(sys.argv[1]), {"method": "rewa", "seed": 1}, every=0)
    file.save_when_due(lambda: {"large": torch.zeros(1_000_000)})
print(caught[0].message)
"""


def test_a_full_disk_leaves_the_old_state(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    written(path)
    done = subprocess.run(
        [sys.executable, "-c", FILLING, str(path)], capture_output=True, text=True, timeout=120
    )
    assert "no checkpoint could be written" in done.stdout, done.stderr
    assert [item.name for item in tmp_path.iterdir()] == ["c.pt"]
    assert same(loaded(path), STATE)
