"""Compiled code is kept, and made anew when any file beside it changes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rewa.kernels.compiled import sources_digest

LOOP = """
from {decorator}
from {package}.helper import CONSTANT, helper

@{call}
def function(x: float) -> float:
    return helper(x) + CONSTANT
"""
HELPER = """
from {decorator}

CONSTANT = {constant}

@{call}
def helper(x: float) -> float:
    return {factor} * x
"""
Run = Callable[[float, float], tuple[float, int]]


@pytest.fixture(params=["compiled", "numba"])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that writes a helper, imports the package anew and calls what uses the helper."""
    ours, package = request.param == "compiled", f"example_{request.param}"
    names = {"decorator": "numba import njit", "call": "njit(cache=True)", "package": package}
    if ours:
        names |= {"decorator": "rewa.kernels.compiled import compiled", "call": "compiled()"}
    home = tmp_path / package
    home.mkdir()
    (home / "__init__.py").write_text("")
    (home / "loop.py").write_text(LOOP.format(**names))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def written(factor: float, constant: float) -> tuple[float, int]:
        (home / "helper.py").write_text(HELPER.format(factor=factor, constant=constant, **names))
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            del sys.modules[name]
        sources_digest.cache_clear()
        importlib.invalidate_caches()
        function = importlib.import_module(f"{package}.loop").function
        return function(1.0), sum(function.stats.cache_hits.values())

    return written


def test_a_change_in_another_file_is_seen(run: Run, request: pytest.FixtureRequest) -> None:
    """Numba alone goes on with what it has; when it no longer does, the digest can go."""
    ours = "compiled" in request.node.name
    assert run(2.0, 10.0) == (12.0, 0)
    assert run(2.0, 10.0) == (12.0, 1)
    assert run(3.0, 10.0) == ((13.0, 0) if ours else (12.0, 1))
    assert run(3.0, 20.0) == ((23.0, 0) if ours else (12.0, 1))
