"""Validated settings: one base class, and one-sentence errors for whatever is wrong in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from rewa.errors import UserError
from rewa.registry import did_you_mean

S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """Base of every configuration: immutable, finite numbers only, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def parse(cls: type[S], values: Mapping[str, Any], where: str) -> S:
        """Validate values.

        Args:
            values: Settings by name.
            where: What is being read, for the message ("method 'rewa'", "search space x.yaml").

        Raises:
            UserError: One sentence naming the first wrong key, its value and what would be right.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise UserError(f"{where}: {_sentence(cls, error)}") from None


def _sentence(settings: type[BaseModel], error: ValidationError) -> str:
    """Say what is wrong with the first bad key, preferring unknown keys (likely misspelt)."""
    details = error.errors(include_url=False)
    detail = min(details, key=lambda d: d["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in detail["loc"])
    match detail["type"]:
        case "extra_forbidden":
            known = settings.model_fields if len(detail["loc"]) == 1 else ()
            return f"unknown key {key!r}{did_you_mean(key, known) if known else ''}"
        case "missing":
            return f"missing key {key!r}"
        case "value_error" if not key:
            return str(detail["ctx"]["error"])
        case _:
            problem = detail["msg"][0].lower() + detail["msg"][1:]
            return f"{key} = {detail['input']!r}: {problem.removeprefix('value error, ')}"
