"""Files appear whole or not at all: writers killed at any moment, full disks, several writers at once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rewa.atomic import remove_partials, replacing, write_bytes, write_text

WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from rewa.atomic import write_bytes
path = Path(sys.argv[1])
number = 0
while True:
    number = (number + 1) % 256
    write_bytes(path, bytes([number]) * 300_000)
    if number == 1:
        print("begun", flush=True)
"""


FILLING = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from rewa.atomic import write_bytes
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    write_bytes(Path(sys.argv[1]), bytes(100_000))
except OSError as error:
    print(error.strerror)
"""
ROOT = str(Path(__file__).parents[2])


def test_the_new_content_is_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old, é\n")
    write_text(path, "new\r\n")
    assert path.read_bytes() == b"new\r\n"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_can_be_kept(tmp_path: Path) -> None:
    path, before = tmp_path / "file", tmp_path / "before"
    for content in (b"1", b"2", b"3"):
        with replacing(path, before) as file:
            file.write(content)
    assert (path.read_bytes(), before.read_bytes()) == (b"3", b"2")
    assert sorted(tmp_path.iterdir()) == [before, path]


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")

    def interrupted() -> None:
        with replacing(path, tmp_path / "before") as file:
            file.write(b"half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kills", [6, pytest.param(150, marks=pytest.mark.slow)])
def test_a_writer_killed_at_any_moment_leaves_a_whole_file(kills: int, tmp_path: Path) -> None:
    path, rng = tmp_path / "file", random.Random(0)
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), ROOT], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.wait()
        process.stdout.close()
        content = path.read_bytes()
        assert len(content) == 300_000
        assert len(set(content)) == 1
    left = [item for item in tmp_path.iterdir() if item != path]
    for partial in left:
        os.utime(partial, (0, 0))
    write_text(path, "next")
    assert list(tmp_path.iterdir()) == [path], "what killed writers left is gone when it is old"


def test_a_live_writers_partial_file_is_let_be(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replacing(path) as file:
        file.write(b"slow")
        write_text(path, "quick")
        assert path.read_text() == "quick"
    assert path.read_text() == "slow"
    (tmp_path / ".file.x.partial").write_text("left")
    (tmp_path / ".other.x.partial").write_text("another file's")
    remove_partials(path)
    assert sorted(item.name for item in tmp_path.iterdir()) == [".other.x.partial", "file"]


def test_several_writers_at_once_each_write_a_whole_file(tmp_path: Path) -> None:
    path, wrong = tmp_path / "file", []

    def write(number: int) -> None:
        for _ in range(40):
            write_bytes(path, bytes([number]) * 50_000)
            content = path.read_bytes()
            if len(content) != 50_000 or len(set(content)) != 1:
                wrong.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_raises_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    done = subprocess.run(
        [sys.executable, "-c", FILLING, str(path), ROOT], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "File too large", done.stderr
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_fills_up_at_the_end_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    write_text(path, "old")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
