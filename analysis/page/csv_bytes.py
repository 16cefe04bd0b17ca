"""A long table as CSV: what pandas writes, sooner, for columns that repeat their values."""

from __future__ import annotations

import numpy as np
import pandas as pd

_QUOTED = '"'


def csv_bytes(table: pd.DataFrame) -> bytes:
    """Return what ``table.to_csv(index=False)`` gives, in UTF-8.

    Every distinct value of a column is written by pandas once. A frontier table repeats the settings of a
    training on all of its rows, and an accuracy is one of few.

    Args:
        table: Any table without duplicate column names; its index is not written.
    """
    if table.empty or table.shape[1] == 1:  # a row of one empty field is quoted
        return table.to_csv(index=False).encode()
    columns = [_texts(table[name]) for name in table]
    if any(column is None for column in columns):
        return table.to_csv(index=False).encode()
    header = table.iloc[:0].to_csv(index=False)
    body = "\n".join(map(",".join, zip(*(column for column in columns if column), strict=True)))
    return f"{header}{body}\n".encode()


def _texts(values: pd.Series) -> list[str] | None:
    """Return a column's fields; None where equal values may differ in writing or one may have many lines."""
    if (
        values.dtype == object
        and not values.map(lambda value: isinstance(value, str) or pd.isna(value)).all()
    ):
        return None  # 1, 1.0 and True are equal
    if pd.api.types.is_float_dtype(values) and np.signbit(values[values == 0.0]).any():
        return None
    codes, distinct = pd.factorize(values)
    beside = pd.DataFrame({"value": distinct, "end": 0})
    text = beside.to_csv(index=False, header=False)
    if _QUOTED in text:
        return None
    written = [line[: -len(",0")] for line in text.split("\n")[:-1]]
    written.append("")  # code -1, a missing value
    return [written[code] for code in codes]
