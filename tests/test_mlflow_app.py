"""The application around MLflow's: a script in its page, everything else untouched."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from rewa.mlflow_app import OpeningApp, app_options, opening_script
from rewa.mlflow_view import METHODS_VIEW, view_url

PAGE = b"<html><head><title>MLflow</title></head><body></body></html>"


def answer(
    chunks: list[bytes], *, status: int = 200, headers: dict[str, str] | None = None, **scope: Any
) -> tuple[dict[str, Any], bytes]:
    """What the wrapped application sends for a request that its inner one answers in chunks."""
    given = {"content-type": "text/html; charset=utf-8", "content-length": str(sum(map(len, chunks)))}
    listed = [(k.encode(), v.encode()) for k, v in {**given, **(headers or {})}.items()]

    async def inner(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": listed})
        for number, chunk in enumerate(chunks, start=1):
            await send({"type": "http.response.body", "body": chunk, "more_body": number < len(chunks)})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asked = {"type": "http", "method": "GET", "path": "/", **scope}
    asyncio.run(OpeningApp(inner)(asked, None, send))  # type: ignore[arg-type]
    start, *rest = sent
    return start, b"".join(message.get("body", b"") for message in rest)


@pytest.mark.parametrize("size", [1, 7, len(PAGE)])
def test_the_page_gets_the_script_however_it_is_cut(size: int) -> None:
    start, body = answer(
        [PAGE[i : i + size] for i in range(0, len(PAGE), size)],
        headers={"etag": "x", "last-modified": "y", "x-other": "kept"},
    )
    script = opening_script().encode()
    assert body == PAGE.replace(b"</head>", script + b"</head>")
    headers = dict(start["headers"])
    assert int(headers[b"content-length"]) == len(body)
    assert headers[b"x-other"] == b"kept"
    assert not {b"etag", b"last-modified"} & set(headers), "they are of the page without the script"


@pytest.mark.parametrize(
    "change",
    [
        {"path": "/static-files/main.js"},
        {"path": "/api/2.0/mlflow/runs/search"},
        {"method": "HEAD"},
        {"status": 304},
        {"headers": {"content-type": "application/json"}},
        {"headers": {"content-encoding": "gzip"}},
    ],
    ids=lambda change: str(next(iter(change.values()))),
)
def test_everything_else_passes_through(change: dict[str, Any]) -> None:
    start, body = answer([PAGE], **change)
    assert body == PAGE
    assert dict(start["headers"])[b"content-length"] == str(len(PAGE)).encode()


def test_a_page_without_a_head_is_left_alone() -> None:
    assert answer([b"Unable to display"])[1] == b"Unable to display"


def test_the_script_goes_to_the_view_that_experiments_have() -> None:
    script = opening_script()
    assert view_url("EXPERIMENT").removeprefix("/") in script
    assert f"mlflow.sharedViewState.{METHODS_VIEW}" in script
    pattern = re.search(r"\(/(.*?)/\.exec", script)
    assert pattern is not None
    bare = re.compile(pattern[1].replace("\\/", "/"))
    assert [
        bool(bare.match(h)) for h in ("#/experiments/12", "#/experiments/12/runs", "#/experiments/12/")
    ] == [True] * 3
    for other in (
        "",
        "#/",
        "#/experiments",
        "#/experiments/12/runs/abc",
        view_url("12")[1:],
        "#/models/digits",
    ):
        assert not bare.match(other), other


def test_mlflow_finds_the_application_by_its_name() -> None:
    assert app_options() == ["--app-name", "rewa"]
