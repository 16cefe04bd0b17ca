"""Validated settings: one base class, and one-sentence errors for whatever is wrong in them."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from rewa.errors import UserError
from rewa.registry import did_you_mean

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

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
            raise UserError(f"{where}: {sentence_for(cls, error)[1]}") from None
        except (ArithmeticError, OSError, RuntimeError, TypeError) as error:  # of a validator of its own
            raise UserError(f"{where}: {one_line(str(error))}") from None


def sentence_for(settings: type[BaseModel], error: ValidationError) -> tuple[tuple[str | int, ...], str]:
    """Say what is wrong with the first bad key, preferring unknown keys (likely misspelt).

    Returns:
        The key's location and a sentence without a final stop.
    """
    details = error.errors(include_url=False)
    detail = min(details, key=lambda d: d["type"] != "extra_forbidden")
    return detail["loc"], sentence_of(settings, detail)


def sentence_of(settings: type[BaseModel], detail: ErrorDetails) -> str:
    """Say what one of pydantic's errors means, without a final stop."""
    location = detail["loc"]
    key = one_line(".".join(str(part) for part in location))
    problem = detail["msg"].removeprefix("Value error, ")
    problem = problem[0].lower() + problem[1:]
    match detail["type"]:
        case "extra_forbidden":
            known = _fields_at(settings, location[:-1])
            hint = did_you_mean(one_line(str(location[-1]), 80), known) if known else ""
            return f"unknown key {shown(key)}{hint}"
        case "missing":
            return f"missing key {key!r}"
        case "value_error" | "assertion_error":
            raw = one_line(str(detail["ctx"]["error"]))
            return f"{key}: {raw}" if key else raw
        case _:
            return f"{key} = {shown(detail['input'])}: {one_line(problem)}"


class _Shown(reprlib.Repr):
    """Short representations, also of what has no end."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 80
        self.maxlong = 40
        self.maxlist = self.maxtuple = self.maxset = 10
        self.maxlevel = 4

    def repr_int(self, x: int, level: int) -> str:
        """Python refuses to write integers of more than 4,300 digits."""
        return "an integer of thousands of digits" if x.bit_length() > 10_000 else super().repr_int(x, level)


def shown(value: Any) -> str:
    """Return a short representation of a value for a message, whatever the value."""
    return one_line(_Shown().repr(value))


def one_line(text: str, longest: int = 600) -> str:
    """Return a text as one line of printable characters, cut off where it is too long for a message."""
    flat = " ".join(text.split())
    cut = flat if len(flat) <= longest else f"{flat[:longest]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def _fields_at(settings: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """Return the keys that a nested model accepts; empty where the path leads through free keys."""
    here: Any = settings
    for part in path:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(part))
            here = field.annotation if field else None
        else:
            here = get_args(here)[-1] if get_origin(here) is dict else None
        here = next((a for a in get_args(here) if a is not type(None)), here) if _optional(here) else here
    if not (isinstance(here, type) and issubclass(here, BaseModel)):
        return []
    return [field.alias or name for name, field in here.model_fields.items()]


def _optional(annotation: Any) -> bool:
    """Return whether an annotation is ``X | None``."""
    return type(None) in get_args(annotation)
