"""Every byte of a beton file is checked on demand; its index whenever it is opened, without a crash."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rewa.data.beton_files import BLOCK, block_checksums, read_contents, read_index
from rewa.data.check_beton import check_beton
from rewa.errors import UserError

pytestmark = pytest.mark.usefixtures("ffcv")


@pytest.fixture
def copy(raw: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(raw[1], tmp_path / "beton"))


def flip(path: Path, place: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << bit
    path.write_bytes(data)


def test_files_as_they_were_written_pass(copy: Path, cli: Callable[..., tuple[int, str, str]]) -> None:
    seen = []
    assert check_beton(copy, lambda *args: seen.append(args)) == {"train.beton": 90, "test.beton": 90}
    assert seen[-1] == ("test.beton", 2, 2)
    status, out, _ = cli("data", "check-beton", str(copy))
    assert status == 0
    assert "train.beton: 90 images, as they were written" in out


def test_a_flipped_bit_of_any_pixel_is_named(copy: Path, cli: Callable[..., tuple[int, str, str]]) -> None:
    """The reader itself does not notice it: its index is whole."""
    path = copy / "train.beton"
    index = read_index(path, read_contents(copy))
    generator = np.random.default_rng(0)
    for number in generator.integers(0, 90, 8):
        place = int(index.starts[number] + generator.integers(0, index.lengths[number]))
        bit = int(generator.integers(8))
        flip(path, place, bit)
        read_index(path, read_contents(copy))
        with pytest.raises(UserError, match=r"train\.beton is damaged: 1 of its 2 blocks") as caught:
            check_beton(copy)
        assert "90 images from number 0 to 89" in str(caught.value), "all of them lie in the second block"
        flip(path, place, bit)
    flip(path, BLOCK - 1)
    with pytest.raises(UserError, match="none of which holds an image"):
        check_beton(copy)
    status, out, err = cli("data", "check-beton", str(copy))
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith("rewa: error: ")
    assert err.count("damaged") == 1


def test_images_are_counted_in_the_block_that_they_touch(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With blocks smaller than an image: its neighbours are not accused."""
    for module in ("beton_files", "check_beton"):
        monkeypatch.setattr(f"rewa.data.{module}.BLOCK", 1000)
    listed = json.loads((copy / "classes.json").read_text())
    for name, entry in listed["files"].items():
        entry["block_crc32"] = list(block_checksums(copy / name))
    (copy / "classes.json").write_text(json.dumps(listed))
    index = read_index(copy / "test.beton")
    flip(copy / "test.beton", int(index.starts[40]) + 1500)
    with pytest.raises(UserError, match=r"hold [12] images from number (39|40) to (40|41)"):
        check_beton(copy)


def test_what_cannot_be_compared_is_said(copy: Path) -> None:
    listed = json.loads((copy / "classes.json").read_text())
    del listed["files"]["test.beton"]["block_crc32"]
    (copy / "classes.json").write_text(json.dumps(listed))
    assert read_contents(copy) is not None, "files of earlier versions are read"
    with pytest.raises(UserError, match="kept no checksums"):
        check_beton(copy)
    (copy / "classes.json").unlink()
    with pytest.raises(UserError, match="nothing to compare with"):
        check_beton(copy)


def test_a_damaged_list_is_refused_in_one_line(copy: Path) -> None:
    path = copy / "classes.json"
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        damaged = bytearray(whole)
        if generator.random() < 0.3:
            del damaged[generator.integers(len(damaged)) :]
        else:
            damaged[generator.integers(len(damaged))] ^= 1 << generator.integers(8)
        path.write_bytes(damaged)
        try:
            contents = read_contents(copy)
            for name in ("train.beton", "test.beton"):
                read_index(copy / name, contents)
        except UserError as error:
            message = str(error)
        else:
            continue
        refused += 1
        assert message.isprintable()
        assert len(message) < 1500
        assert str(copy) in message
    assert refused > 200
    for content in (b"\xff", b"[]", b"{}", b"[" * 100_000, whole.replace(b'"train.beton"', b'"../x.beton"')):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"classes\.json"):
            read_contents(copy)


READING = """
import sys
from pathlib import Path
import numpy as np
from rewa.data.beton_files import read_index
from rewa.data.ffcv_package import require_ffcv
from rewa.errors import UserError
require_ffcv("x")
path, count = Path(sys.argv[1]), int(sys.argv[2])
whole = path.read_bytes()
table = int(np.frombuffer(whole[16:24], "<u8")[0])
rows = 24 + 2 * 1041
index = np.r_[0:60, 1050:1100, rows : rows + 24 * 90, table : len(whole)]
generator = np.random.default_rng(1)
refused = 0
for turn in range(count):
    damaged = bytearray(whole)
    for _ in range(generator.integers(1, 4)):
        place = generator.choice(index) if turn % 3 else generator.integers(len(whole))
        damaged[place] = generator.integers(256)
    if turn % 4 == 0:
        del damaged[generator.choice(np.r_[0:rows + 2500, table : len(whole)]) :]
    path.write_bytes(damaged)
    try:
        found = read_index(path)
    except UserError as error:
        assert str(error).isprintable() and len(str(error)) < 1000, error
        refused += 1
        continue
    ends = found.starts + found.lengths
    assert found.starts.min() >= rows and ends.max() <= len(damaged), turn
    assert found.labels.min() >= 0 and found.lengths.min() > 0, turn
    assert (3 * found.images.heights * found.images.widths <= 4096 * found.lengths).all(), turn
print(refused)
"""


@pytest.mark.slow
def test_a_damaged_index_never_points_out_of_the_file_nor_ends_the_process(copy: Path) -> None:
    count = 3000
    done = subprocess.run(
        [sys.executable, "-c", READING, str(copy / "train.beton"), str(count)],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > count / 3


def test_an_address_that_wraps_around_is_refused(copy: Path) -> None:
    """The table and the image agree on a start just below 2^64, so that start + size is small again."""
    path = copy / "train.beton"
    data = bytearray(path.read_bytes())
    table = int(np.frombuffer(data[16:24], "<u8")[0])
    start = 2**64 - 1000
    entries = np.frombuffer(bytes(data[table:]), np.dtype([("i", "<u8"), ("ptr", "<u8"), ("size", "<u8")]))
    first = int(entries["ptr"][0])
    changed = bytes(data).replace(first.to_bytes(8, "little"), start.to_bytes(8, "little"))
    assert changed.count(start.to_bytes(8, "little")) == 2
    path.write_bytes(changed)
    with pytest.raises(UserError, match="table of addresses"):
        read_index(path)
