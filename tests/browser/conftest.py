"""Headless Chromium for the tests that look at pages; they are skipped, with the reason, where it is missing.

``REWA_REQUIRE_BROWSER=1`` makes them fail instead, so that a machine that should have it cannot go untested.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

sys.path.append(str(Path(__file__).parents[1] / "analysis"))  # the synthetic sweeps of its tests

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",  # root has none to drop to
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

OpenPage = Callable[..., "Page"]


def _missing(what: str) -> None:
    if os.environ.get("REWA_REQUIRE_BROWSER"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium of this session's own, with a new profile."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        _missing("no Chromium on this machine; Debian's package is named chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("playwright is not installed; it comes with rewa's dev dependencies")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Open addresses in tabs with nothing in common: ``open_page(address, width, height, **context)``.

    Keywords beside width and height are those of Playwright's ``new_context``, such as ``has_touch=True`` or
    ``java_script_enabled=False``. The tab's ``errors`` (console and page) and ``requests`` (beyond file: and
    data:) are lists that fill up while it is open.
    """
    contexts: list[Any] = []

    def opened(address: str, width: int = 1280, height: int = 900, **settings: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        contexts.append(context)
        page: Any = context.new_page()
        page.errors, page.requests = [], []
        page.on("console", lambda said: page.errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on(
            "request",
            lambda asked: (
                None if asked.url.startswith(("file:", "data:", "blob:")) else page.requests.append(asked.url)
            ),
        )
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
