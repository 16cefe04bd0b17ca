"""Shared storage: a mounted folder, and an object store spoken to over HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rewa.errors import UserError
from rewa.storage import Store, check_storage, check_uri


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A bucket of an S3 server on this machine, as pyarrow's URI."""
    from moto.server import ThreadedMotoServer

    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_DEFAULT_REGION": "us-east-1"}
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    before = {name: os.environ.get(name) for name in keys}
    os.environ.update(keys)
    import boto3

    boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="bucket")
    yield f"s3://bucket/sweeps?endpoint_override=http%3A%2F%2F{host}%3A{port}&region=us-east-1"
    server.stop()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return Store(f"file://{tmp_path}/shared").child("one")
    return Store(request.getfixturevalue("s3")).child(f"one/{tmp_path.name}")


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_files_go_there_and_come_back(store: Store, tmp_path: Path) -> None:
    big = os.urandom(3_000_000)
    store.put(written(tmp_path / "a", big), "trials/x/result.json")
    store.put(written(tmp_path / "b", b""), "trials/x/empty")
    assert store.keys() == {"trials/x/result.json": len(big), "trials/x/empty": 0}
    assert store.keys("trials/y") == {}
    assert store.get("trials/x/result.json", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == big
    store.put(written(tmp_path / "c", b"new"), "trials/x/result.json")
    assert store.get("trials/x/result.json", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"new"


def test_what_is_not_there(store: Store, tmp_path: Path) -> None:
    assert store.keys() == {}
    assert not store.get("nothing", tmp_path / "back")
    assert not (tmp_path / "back").exists()
    assert not list(tmp_path.glob(".*"))
    store.remove("nothing")
    store.rename("nothing", "other")
    assert store.keys() == {}


def test_renaming_replaces(store: Store, tmp_path: Path) -> None:
    store.put(written(tmp_path / "a", b"old"), "k.previous")
    store.put(written(tmp_path / "b", b"new"), "k")
    store.rename("k", "k.previous")
    assert store.keys() == {"k.previous": 3}
    assert store.get("k.previous", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"new"
    store.remove("k.previous")
    assert store.keys() == {}


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://", "must be s3://bucket/path"),
        ("/some/folder", "must be"),
        ("http://host/x", "must be"),
        ("s3://user:word@bucket/x", "holds a password"),
        ("s3://bucket/x?secret_key=word", "holds a password"),
    ],
)
def test_what_is_no_storage(uri: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        check_uri(uri)
    assert "word@" not in str(caught.value)
    assert "=word" not in str(caught.value)


def test_storage_that_cannot_be_used_is_told_in_a_sentence(s3: str, tmp_path: Path) -> None:
    check_storage(s3)
    check_storage(f"file://{tmp_path}/not/yet")
    with pytest.raises(UserError, match="cannot be used") as caught:
        check_storage(s3.replace("//bucket", "//nobodys"))
    assert "\n" not in str(caught.value)
