from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from pydantic import Field, ValidationError, model_validator

from rewa.config import Settings
from rewa.errors import UserError
from rewa.registry import did_you_mean, load


class Inner(Settings):
    depth: int = Field(default=2, ge=1)


class Example(Settings):
    rate: float = Field(gt=0)
    steps: int = 10
    label: str = "a"
    inner: Inner = Inner()

    @model_validator(mode="after")
    def _label_fits(self) -> Example:
        if self.label == "bad":
            raise ValueError("the label does not fit")
        return self


def test_good_values_are_taken() -> None:
    found = Example.parse({"rate": 1, "inner": {"depth": 3}}, "here")
    assert (found.rate, found.steps, found.inner.depth) == (1.0, 10, 3)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"rate": 1, "stepss": 3}, "here: unknown key 'stepss': did you mean 'steps'? (known: "),
        ({"rate": 1, "zzz": 3}, "here: unknown key 'zzz' (known: inner, label, rate, steps)"),
        ({"rat": 1}, "here: unknown key 'rat': did you mean 'rate'?"),
        ({}, "here: missing key 'rate'"),
        ({"rate": 0}, "here: rate = 0: input should be greater than 0"),
        ({"rate": "fast"}, "here: rate = 'fast': input should be a valid number"),
        ({"rate": float("nan")}, "here: rate = nan: input should be a finite number"),
        ({"rate": float("inf")}, "here: rate = inf: input should be a finite number"),
        ({"rate": None}, "here: rate = None: input should be a valid number"),
        ({"rate": 1, "steps": 2.5}, "here: steps = 2.5: input should be a valid integer"),
        ({"rate": 1, "inner": {"depth": 0}}, "here: inner.depth = 0: "),
        ({"rate": 1, "inner": {"dept": 0}}, "here: unknown key 'inner.dept': did you mean 'depth'?"),
        ({"rate": 1, "inner": 7}, "here: inner = 7: "),
        ({"rate": 1, "label": "bad"}, "here: the label does not fit"),
    ],
)
def test_wrong_values_make_one_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as raised:
        Example.parse(values, "here")
    assert str(raised.value).startswith(sentence)
    assert "\n" not in str(raised.value)


def test_settings_are_frozen() -> None:
    settings = Example(rate=1)
    with pytest.raises(ValidationError):
        settings.rate = 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rewaa", ": did you mean 'rewa'? (known: magnitude, rewa, spred)"),
        ("xyz", " (known: magnitude, rewa, spred)"),
    ],
)
def test_suggestions(name: str, expected: str) -> None:
    assert did_you_mean(name, ["spred", "rewa", "magnitude"]) == expected


def test_registries_import_what_is_asked_for_only() -> None:
    table = {"fraction": "fractions:Fraction", "broken": "no_such_module:Thing"}
    assert load("number", "fraction", table, Fraction).__name__ == "Fraction"
    with pytest.raises(UserError, match=r"^unknown number 'fractoin': did you mean 'fraction'\?"):
        load("number", "fractoin", table, Fraction)
