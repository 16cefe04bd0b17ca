from __future__ import annotations

import errno
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rewa.data.beton_files import read_contents, read_index
from rewa.data.tree import read_tree
from rewa.data.write_beton import StoreSettings, write_beton
from rewa.errors import RunError, UserError

MakeTree = Callable[..., Path]


def entries(path: Path) -> list[tuple[bool, int, int, int, bytes]]:
    """What FFCV's own reader finds: JPEG or not, height, width, label and bytes of each image."""
    from ffcv.reader import Reader

    reader, data = Reader(str(path)), path.read_bytes()
    sizes = dict(zip(reader.alloc_table["ptr"].tolist(), reader.alloc_table["size"].tolist(), strict=True))
    found = []
    for image, label in reader.metadata:
        start = int(image["data_ptr"])
        stored = data[start : start + sizes[start]]
        assert start // reader.page_size == (start + len(stored) - 1) // reader.page_size
        found.append((image["mode"] == 0, int(image["height"]), int(image["width"]), int(label), stored))
    return found


def write(source: Path, dest: Path, workers: int = 2, **settings: float) -> Path:
    write_beton(source, dest, StoreSettings(**settings), workers)
    return dest


@pytest.mark.usefixtures("ffcv")
class TestWriting:
    @pytest.mark.parametrize(
        ("size", "suffix"), [((32, 32), "png"), ((0, 0), "png"), ((40, 64), "jpg")], ids=str
    )
    def test_lossless_and_small_images_are_stored_as_their_pixels(
        self, make_tree: MakeTree, tmp_path: Path, size: tuple[int, int], suffix: str
    ) -> None:
        source = make_tree(tmp_path / "tree", size, 4, suffix, ("train", "val", "test"))
        out = write(source, tmp_path / "out")
        tree = read_tree(source)
        for split in ("train", "val", "test"):
            found = entries(out / f"{split}.beton")
            assert [label for *_, label, _ in found] == tree.labels[split].tolist()
            for path, (jpeg, height, width, _, data) in zip(tree.files[split], found, strict=True):
                pixels = np.asarray(Image.open(path).convert("RGB"))
                assert not jpeg
                assert (height, width, 3) == pixels.shape
                assert data == pixels.tobytes()

    def test_jpegs_keep_their_bytes_unless_they_are_too_large(
        self, make_tree: MakeTree, tmp_path: Path
    ) -> None:
        source = make_tree(tmp_path / "tree", (0, 0), 6, "jpg", ("train", "val", "test"))
        out = write(source, tmp_path / "out", max_resolution=100)
        kept = shrunk = 0
        for path, (jpeg, height, width, _, data) in zip(
            read_tree(source).files["train"], entries(out / "train.beton"), strict=True
        ):
            original = Image.open(path)
            assert jpeg
            if max(original.size) <= 100:
                kept += 1
                assert data == path.read_bytes()
                continue
            shrunk += 1
            ratio = 100 / max(original.size)
            assert (width, height) == tuple(round(side * ratio) for side in original.size)
            theirs = original.resize((width, height), Image.Resampling.BOX)
            difference = np.asarray(Image.open(io.BytesIO(data))).astype(int) - np.asarray(theirs)
            assert abs(difference).mean() < 3
        assert kept
        assert shrunk

    @pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.5, 20, 40), (1.0, 60, 60)])
    def test_a_share_of_all_images_becomes_jpeg(
        self, make_tree: MakeTree, tmp_path: Path, share: float, low: int, high: int
    ) -> None:
        source = make_tree(tmp_path / "tree", (24, 40), 20)
        found = entries(write(source, tmp_path / "out", jpeg_share=share, quality=95) / "train.beton")
        assert low <= sum(jpeg for jpeg, *_ in found) <= high
        for path, (jpeg, _, _, _, data) in zip(sorted(source.glob("train/*/*.png")), found, strict=True):
            if jpeg:
                decoded = np.asarray(Image.open(io.BytesIO(data))).astype(int)
                assert abs(decoded - np.asarray(Image.open(path))).mean() < 5

    def test_equal_input_gives_equal_files_whatever_the_workers(
        self, make_tree: MakeTree, tmp_path: Path
    ) -> None:
        source = make_tree(tmp_path / "tree", (0, 0), 8, "jpg")
        for dest, workers in (("one", 1), ("many", 5)):
            write(source, tmp_path / dest, workers, max_resolution=90, jpeg_share=0.6)
        for name in ("train.beton", "test.beton", "classes.json"):
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()

    def test_images_larger_than_the_rest_of_a_page_begin_a_new_one(
        self, make_tree: MakeTree, tmp_path: Path
    ) -> None:
        source = make_tree(tmp_path / "tree", (1000, 1000), 2, "bmp")
        found = entries(write(source, tmp_path / "out", max_resolution=1000) / "train.beton")
        paths = sorted(source.glob("train/*/*.bmp"))
        for path, (*_, data) in zip(paths, found, strict=True):
            assert data == np.asarray(Image.open(path)).tobytes()

    def test_a_broken_image_is_named_and_nothing_is_left(self, make_tree: MakeTree, tmp_path: Path) -> None:
        source = make_tree(tmp_path / "tree", (80, 80), 6, "jpg")
        broken = source / "test" / "bee" / "003.jpg"
        broken.write_bytes(broken.read_bytes()[:400])
        with pytest.raises(UserError, match=r"bee/003\.jpg"):
            write(source, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_an_interruption_leaves_what_was_there_before(self, make_tree: MakeTree, tmp_path: Path) -> None:
        def interrupt(split: str, done: int, total: int) -> None:
            if (split, done, total) == ("test", 5, 18):
                raise KeyboardInterrupt

        source, dest = make_tree(tmp_path / "tree"), tmp_path / "out"
        dest.mkdir()
        (dest / "notes.txt").write_text("mine")
        with pytest.raises(KeyboardInterrupt):
            write_beton(source, dest, StoreSettings(), 2, interrupt)
        assert [path.name for path in dest.iterdir()] == ["notes.txt"]

    def test_a_full_disk_is_an_error_of_the_run(
        self, make_tree: MakeTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(RunError, match="No space left on device; nothing is kept"):
            write(make_tree(tmp_path / "tree"), tmp_path / "out")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("name", ["train.beton", "val.beton", "classes.json", "test.beton.partial"])
    def test_nothing_is_overwritten(self, make_tree: MakeTree, tmp_path: Path, name: str) -> None:
        dest = tmp_path / "out"
        dest.mkdir()
        (dest / name).write_text("precious")
        with pytest.raises(UserError, match=name.replace(".", r"\.") + " exists"):
            write(make_tree(tmp_path / "tree"), dest)
        assert {path.name: path.read_text() for path in dest.iterdir()} == {name: "precious"}

    def test_the_command_says_where_the_files_are_and_what_comes_next(
        self, make_tree: MakeTree, tmp_path: Path, cli: Callable[..., tuple[int, str, str]]
    ) -> None:
        source, dest = make_tree(tmp_path / "tree"), tmp_path / "out"
        status, out, err = cli("data", "write-beton", str(source), str(dest), "--jpeg-share", "0.5")
        assert status == 0, err
        assert f"{dest / 'train.beton'}: 18 images" in out
        assert f"next: rewa train image_folder rewa --set-workload root={dest}" in out
        listed = json.loads((dest / "classes.json").read_text())
        assert listed["classes"] == ["ant", "bee", "cat"]
        assert listed["settings"] == {"max_resolution": 500, "quality": 90, "jpeg_share": 0.5}
        assert sorted(listed["files"]) == ["test.beton", "train.beton"]
        status, _, err = cli("data", "write-beton", str(source), str(dest))
        assert status == 2
        assert len(err.strip().splitlines()) == 1


@pytest.mark.usefixtures("ffcv")
class TestDamage:
    @pytest.fixture
    def out(self, make_tree: MakeTree, tmp_path: Path) -> Path:
        return write(make_tree(tmp_path / "tree", (80, 90), 6, "jpg"), tmp_path / "out")

    def test_a_shortened_file_is_refused(self, out: Path) -> None:
        path = out / "train.beton"
        whole = path.read_bytes()
        for cut in (
            1,
            23,
            24,
            48,
            24 * 18,
            24 * 18 + 1,
            9000,
            len(whole) - 2200,
            len(whole) - 20,
            len(whole),
        ):
            path.write_bytes(whole[:-cut])
            with pytest.raises(UserError, match=r"train\.beton has [\d,]+ bytes instead of"):
                read_contents(out)
            with pytest.raises(UserError, match=r"train\.beton cannot be used"):
                read_index(path)

    def test_a_flipped_bit_of_the_index_is_noticed(self, out: Path) -> None:
        path, contents = out / "train.beton", read_contents(out)
        whole = path.read_bytes()
        index = read_index(path, contents)
        table = int(np.frombuffer(whole[16:24], "<u8")[0])
        head = 24 + 2 * 1041 + 24 * len(index.labels)
        places = np.r_[0:60, 1050:1100, 24 + 2 * 1041 : head, table : len(whole)]
        generator = np.random.default_rng(0)
        accepted = 0
        for place in generator.choice(places, 300):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << generator.integers(8)
            path.write_bytes(damaged)
            with pytest.raises(UserError, match=r"train\.beton"):
                read_index(path, contents)
            try:
                found = read_index(path)
            except UserError:
                continue
            accepted += 1  # such as another label: then at least nothing points out of the file
            for jpeg, height, width, label, data in entries(path):
                assert len(data) > 0
                assert jpeg or len(data) == 3 * height * width
                assert 0 <= label < 1_000_000
            assert len(found.labels) == 18
        assert accepted < 200

    def test_foreign_files_are_refused(self, out: Path) -> None:
        path = out / "train.beton"
        for content in (b"", b"{}", b"\xff\xd8\xff" + b"x" * 5000, bytes(10_000)):
            path.write_bytes(content)
            with pytest.raises(UserError, match=r"train\.beton cannot be used"):
                read_index(path)

    def test_a_list_that_does_not_fit_is_refused(self, out: Path) -> None:
        (out / "test.beton").unlink()
        with pytest.raises(UserError, match=r"test\.beton is missing"):
            read_contents(out)
        (out / "classes.json").write_text('{"classes": 3}')
        with pytest.raises(UserError, match=r"classes\.json"):
            read_contents(out)


@pytest.mark.parametrize("problem", ["no module", "no library"])
def test_without_ffcv_one_sentence_says_what_to_do(
    make_tree: MakeTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    import torch

    from rewa.data.beton import BetonLoader
    from rewa.data.loader import Transform

    if problem == "no module":
        monkeypatch.setitem(sys.modules, "ffcv", None)
        monkeypatch.setitem(sys.modules, "ffcv.loader", None)
    else:
        package = tmp_path / "path" / "ffcv"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(
            "raise ImportError('libopencv_imgproc.so.406: cannot open shared object file')"
        )
        for name in [name for name in sys.modules if name.partition(".")[0] == "ffcv"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.syspath_prepend(package.parent)
    expected = r"^(Writing|Reading) beton files needs FFCV, .*`make ffcv`.*libopencv-dev.*rewa\[ffcv\]'\.$"
    with pytest.raises(UserError, match=expected):
        write(make_tree(tmp_path / "tree"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match=expected):
        BetonLoader(tmp_path, Transform(32, 32, 32, "none", False), 4, torch.device("cpu"))
