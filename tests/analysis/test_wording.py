"""Values, differences and references of a metric as text."""

from __future__ import annotations

import math

import pytest
from synthetic import DOWN, MSE, UP

from analysis.wording import Wording
from rewa.metric import ACCURACY, Metric

SHARE, ERROR = Wording(ACCURACY), Wording(MSE)
LOG_LOSS = Wording(Metric("log_loss", "min", chance=math.log(2.0), ideal=0.41))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (SHARE.value(0.9714), "97.1 %"),
        (ERROR.value(1.0434), "1.043"),
        (ERROR.value(1850.04), "1850"),
        (ERROR.value(1.2345e9), "1.234e+09"),
        (ERROR.value(math.inf), "\u221e"),
        (ERROR.value(math.nan), "\u2013"),
        (LOG_LOSS.value(0.51234), "0.5123"),
        (SHARE.mean_std(0.971, 0.002), "97.1 \u00b1 0.2"),
        (SHARE.mean_std(0.971, 0.0), "97.1 \u00b1 0.0"),
        (ERROR.mean_std(1.043, 0.002), "1.043 \u00b1 0.002"),
        (ERROR.mean_std(1.043, math.nan), "1.043"),
        (ERROR.mean_std(1.043, 0.0), "1.043"),
        (ERROR.mean_std(math.inf, math.nan), "\u221e"),
        (SHARE.size(0.004), "0.4"),
        (ERROR.size(-0.012), "0.012"),
        (ERROR.size(0.0004), "0.0004"),
        (ERROR.size(0.00001), "less than 0.0001"),
        (ERROR.size(0.0), "0.000"),
        (SHARE.interval(-0.002, 0.009), "-0.2 to +0.9 points"),
        (ERROR.interval(-0.002, 0.015), "-0.002 to +0.015"),
        (SHARE.ahead(0.004, "rewa"), "0.4 points ahead of rewa"),
        (ERROR.ahead(0.012, "rewa"), "0.012 lower than rewa"),
        (ERROR.ahead(math.inf, "rewa"), "while rewa has no finite value"),
        (Wording(UP).ahead(0.012, "rewa"), "0.012 higher than rewa"),
        (SHARE.behind(0.07, 0.06), "7.0 and 6.0 points behind"),
        (ERROR.behind(0.157), "0.157 behind"),
        (SHARE.best, "Best accuracy"),
        (ERROR.best, "Lowest mse"),
        (Wording(DOWN).reference(0.0), "0.0"),
        (ERROR.reference(1.05), "1.05"),
        (LOG_LOSS.reference(math.log(2.0)), "0.6931"),
        (SHARE.reference(0.9), "90 %"),
    ],
)
def test_texts(found: str, expected: str) -> None:
    assert found == expected
